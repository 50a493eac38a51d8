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
    "align": "verbs.prepare", "pack": "verbs.prepare", "doctor": "verbs.prepare", "clean": "verbs.clean",
    "teach": "verbs.teach", "plan": "verbs.plan", "import_route": "route.importing", "distill": "verbs.distill",
    "find": "verbs.find", "verify": "verbs.evaluate",
    "megaface": "verbs.megaface", "compare_models": "verbs.megaface", "ijb": "verbs.ijb", "search": "verbs.search",
    "evaluate_all": "verbs.suite", "classify": "verbs.classify", "export": "verbs.export", "bench": "verbs.bench",
    "report": "verbs.report", "embed": "verbs.embed", "compare": "verbs.embed", "demo": "verbs.demo",
    "load": "models.loading",
}
__all__ = [*_WHERE, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"facekd has no '{name}'; it has {', '.join(sorted(_WHERE))}")
    return getattr(import_module(f"facekd.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
