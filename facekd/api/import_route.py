"""``facekd route import``: a route of an existing teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facekd.route import import_checkpoints
from facekd.route.route import Route


def import_route(files: Sequence[Path | str], out: Path | str, *, model: str | None = None, size: int = 112,
                 outputs: int | None = None, options: Mapping[str, Any] | None = None,
                 normalization: str = "unit") -> Route:
    """Make a route of checkpoints of another trainer, or of one InsightFace ONNX.

    Args:
        files: checkpoints in the order of training, or exactly one ``.onnx``; see
            `facekd.route.import_checkpoints.import_route`.
        out: the route folder to write.
        model: the architecture of checkpoints, e.g. ``iresnet50``; not needed for an ONNX.
        size: side of the input of checkpoints in pixels.
        outputs: dimension of the embedding, or number of classes; by default read from the checkpoint.
        options: options of the architecture, e.g. ``{"width": 0.5}``.
        normalization: pixel normalization of the teacher.

    Raises:
        RouteError: there are no files, their types are mixed, ``out`` contains a route, or a checkpoint is damaged.
        ModelError: weights and architecture differ, the architecture is unknown, or the ONNX is no face model.
        SetupError: the disk is full.
    """
    return import_checkpoints.import_route([Path(file) for file in files], Path(out), name=model, size=size,
                                           outputs=outputs, options=options, normalization=normalization)
