"""facekd: knowledge distillation of face recognition networks, from photographs to a package for the phone.

The commands of the command line are functions of the same name, and are imported at their first use::

    import facekd

    facekd.train("faces/train", "runs/teacher", "model.name=iresnet50")
    facekd.plan("runs/teacher", "plan.json", anchors=4)
    facekd.distill("faces/train", "plan.json", "runs/student", "student.name=mobilefacenet")
    model = facekd.load("runs/student")
    embeddings = model(["a.jpg", "b.jpg"])

From a teacher to the phone:
    compress: a smaller model in the space of a teacher, from photographs without labels.

Data:
    align: photographs to aligned crops.
    pack: an image folder to InsightFace RecordIO.
    doctor: a diagnosis of face sets, or of a planned training run.
    clean: a face set without label noise.
    group: crops without labels to one folder per person.

Training:
    train: supervised training of a network, with its route.
    plan: the anchors on a route that a student will follow.
    import_route: a route of an existing teacher.
    distill: training of a student along a plan.
    search: a student that is a subgraph of its teacher.
    students, choose_student: the networks that can be students, by size, multiply-adds and latency.
    list_methods, show_method: the losses and methods that can train a student.

Evaluation:
    verify: 1:1 verification on a pair list.
    agree: how closely a student follows its teacher, without labels.
    groups: error rates by groups of people at a threshold.
    verify_across, identify_across, megaface_across: the same for a new model and the gallery of an old one.
    megaface: identification among distractors.
    compare_models: the difference of two results of ``megaface``.
    ijb: 1:1 and 1:N of IJB-B/C templates.
    identify: open-set identification of probes in a gallery.
    classify: accuracy and calibration of a classifier.
    evaluate_all: every evaluation set of a folder.

Deployment:
    export: a package for the phone.
    bench: latency and size of a package's files.
    report: a report page per run, and a table of runs.
    load: any model for inference.
    embed: the embeddings of a face set in one file.
    fit_map, convert: features of an old model as features of a new one.
    compare: whether two photographs show the same person.
    check: whether the thresholds of a package still mean their rates on new images.
    demo: the complete workflow on synthetic faces.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

# ONNX Runtime 1.29 and later records file names and a device identifier unless this is set before its first import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

_MODULES = {
    "compress": "api.compress.compress",
    "align": "api.data.align",
    "pack": "api.data.pack",
    "doctor": "api.data.doctor",
    "clean": "api.data.clean",
    "group": "api.data.group",
    "train": "api.train",
    "plan": "api.plan",
    "import_route": "api.import_route",
    "distill": "api.distill",
    "search": "api.search",
    "students": "api.deploy.students",
    "choose_student": "api.deploy.students",
    "list_methods": "api.methods",
    "show_method": "api.methods",
    "verify": "api.evaluate.verify",
    "agree": "api.evaluate.agree",
    "groups": "api.evaluate.groups",
    "verify_across": "api.across.verify",
    "identify_across": "api.across.identify",
    "megaface_across": "api.across.megaface",
    "megaface": "api.evaluate.megaface",
    "compare_models": "api.evaluate.compare_models",
    "ijb": "api.evaluate.ijb",
    "identify": "api.evaluate.identify",
    "classify": "api.evaluate.classify",
    "evaluate_all": "api.evaluate.evaluate_all",
    "export": "api.deploy.export",
    "bench": "api.deploy.bench",
    "report": "api.report",
    "load": "models.loading",
    "embed": "api.embed",
    "fit_map": "api.convert",
    "convert": "api.convert",
    "compare": "api.compare",
    "check": "api.deploy.check",
    "demo": "api.demo",
}
"""The module of each public function, below ``facekd``."""
__all__ = [*_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        from facekd.errors import did_you_mean

        raise AttributeError(f"facekd has no '{name}': {did_you_mean(name, sorted(_MODULES))}")
    return getattr(import_module(f"facekd.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
