"""facekd: photographs in, a phone-ready student out.

The verbs of the command line as functions, imported when first used::

    import facekd

    facekd.teach("faces/train", "runs/teacher", "model.name=iresnet50")
    facekd.plan("runs/teacher", "plan.json", anchors=4)
    facekd.distill("faces/train", "plan.json", "runs/student", "student.name=mobilefacenet")
    model = facekd.load("runs/student")
    embeddings = model(["a.jpg", "b.jpg"])
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "align": "api.prepare", "pack": "api.prepare", "doctor": "api.prepare", "clean": "api.clean",
    "teach": "api.train", "plan": "api.plan", "import_route": "route.import_checkpoints", "distill": "api.distill",
    "find": "api.search", "verify": "api.evaluate.verify",
    "megaface": "api.evaluate.megaface", "compare_models": "api.evaluate.megaface", "ijb": "api.evaluate.ijb",
    "search": "api.evaluate.identify", "evaluate_all": "api.evaluate.evaluate_all",
    "classify": "api.evaluate.classify", "export": "api.export", "bench": "api.bench",
    "report": "api.report", "embed": "api.embed", "compare": "api.embed", "demo": "api.demo",
    "load": "models.loading",
}
__all__ = [*_WHERE, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"facekd has no '{name}'; it has {', '.join(sorted(_WHERE))}")
    return getattr(import_module(f"facekd.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
