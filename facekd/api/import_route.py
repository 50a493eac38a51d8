"""``facekd route import``: a route of an existing teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facekd.data.opening import open_faces
from facekd.evaluation.embedding.plausibility import check_faces
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.models.loading import load
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.route import import_checkpoints
from facekd.route.route import Route
from facekd.utils.console import notify


def import_route(files: Sequence[Path | str], out: Path | str, *, model: str | None = None, size: int | None = None,
                 outputs: int | None = None, options: Mapping[str, Any] | None = None,
                 normalization: str | None = None, pixels: str | None = None, channels: str | None = None,
                 output: str | None = None, images: Path | str | None = None,
                 license: str | None = None) -> Route:
    """Make a route of checkpoints of another trainer, or of one ONNX of a face model.

    Args:
        files: checkpoints in the order of training, or exactly one ``.onnx``; see
            `facekd.route.import_checkpoints.import_route`.
        out: the route folder to write.
        model: the architecture of checkpoints, e.g. ``iresnet50``; not for an ONNX.
        size: side of the input of checkpoints in pixels, by default 112; for an ONNX only if its graph leaves it open.
        outputs: dimension of the embedding, or number of classes; by default read from the checkpoint.
        options: options of the architecture, e.g. ``{"width": 0.5}``.
        normalization: pixel normalization of checkpoints, by default ``unit``.
        pixels: scaling of pixels outside of an ONNX, see `facekd.models.input_format.PIXELS`; by default its graph
            tells it. This and the following two are stored with the route.
        channels: order of the channels of an ONNX, ``rgb`` or ``bgr``.
        output: name of an ONNX's output with the embedding.
        images: a face set on which the imported teacher is checked, see
            `facekd.evaluation.embedding.plausibility`; a note on the standard error says what is implausible.
        license: the license of the teacher, which packages of its students state; by default what the file or a text
            beside it says, otherwise ``unknown``.

    Raises:
        RouteError: there are no files, their types are mixed, ``out`` contains a route, an argument has no effect, or a
            checkpoint is damaged.
        ModelError: weights and architecture differ, the architecture is unknown, or the ONNX is no face model.
        DataError: ``images`` is no face set.
        SetupError: the folder cannot be written.
    """
    check_writable(out, folder=True)
    with lock_output(out):
        faces = open_faces(images) if images else None
        route = import_checkpoints.import_route(
            [Path(file) for file in files], Path(out), name=model, size=size, outputs=outputs, options=options,
            normalization=normalization, pixels=pixels, channels=channels, output=output, license_text=license)
        if faces:
            file = route.point_file(len(route.points) - 1)
            embedder = load(file) if route.spec else OnnxEmbedder(file)  # load would repeat the notes of an ONNX
            check_faces(embedder, faces)
        elif route.spec is None:
            notify("whether the teacher is fed in the right way was not checked on images; --images FACES does so")
    return route
