"""Import of external teachers: routes made of checkpoints, or of an ONNX, that were trained with other programs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from facekd.errors import RouteError
from facekd.io.files import atomic_write, sha256
from facekd.io.licenses import find_license
from facekd.io.onnx_file import external_weights, read_model
from facekd.models.input_format import InputOptions, refuse_options
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.onnx_interface import store_options
from facekd.models.registry import Network
from facekd.models.weights import save_model
from facekd.route.external_checkpoint import load_checkpoint
from facekd.route.route import ImportedFile, Point, Route
from facekd.text import path_text
from facekd.utils.console import notify


def import_route(
    files: Sequence[Path], out: Path, *, name: str | None = None, size: int | None = None, outputs: int | None = None,
    options: Mapping[str, Any] | None = None, normalization: str | None = None, pixels: str | None = None,
    channels: str | None = None, output: str | None = None, license_text: str | None = None,
) -> Route:
    """Make a route of a teacher that was trained elsewhere; its points are numbered in the order of the files.

    ``route.json`` is written last: if a file is refused there is no route, and the call can be repeated.

    Args:
        files: checkpoints, e.g. of arcface_torch or RepDistiller (``.pt``, ``.pth``: a state dict, bare or in a
            training checkpoint), or state dicts as ``.safetensors``, early ones first; or exactly one ``.onnx`` of a
            face model, which stays an ONNX and is run by ONNX Runtime.
        out: the folder of the new route.
        name: the architecture in the registry, e.g. ``iresnet50`` for arcface_torch's r50; not for an ONNX.
        size: the side of the crops the checkpoints were trained on, by default 112; for an ONNX only if its graph
            leaves it open.
        outputs: the length of the embeddings, or the number of classes; by default read from the checkpoint.
        options: the options of the architecture, e.g. ``{"width": 0.5}``.
        normalization: the pixel normalization of checkpoints, by default ``unit``; CIFAR-100 classifiers usually use
            ``cifar100``.
        pixels: the scaling of pixels outside of an ONNX, a key of `facekd.models.input_format.PIXELS`. This, and the
            other facts of `facekd.models.input_format.InputOptions`, are stored in the point's file.
        channels: the order of an ONNX's channels, ``rgb`` or ``bgr``.
        output: the name of an ONNX's output with the embedding.
        license_text: the license of the teacher; by default what the file or a text beside it says, see
            `find_license`.

    Returns:
        The route; step and epoch of its points count the files from 1.

    Raises:
        RouteError: no files, a mixture of file types, an existing route in ``out``, an argument without effect, or a
            checkpoint that cannot be read or holds more than weights; no code in a checkpoint is run.
        ModelError: weights of another architecture, an unknown architecture, or an ONNX that is not a face model.
        SetupError: the folder cannot be written.
    """
    if not files:
        raise RouteError("no file to import; give the checkpoints of a teacher, early ones first, or one ONNX")
    if (out / "route.json").exists():
        raise RouteError(f"{path_text(out)} holds a route already; import into another folder, or delete this one")
    if any(file.suffix == ".onnx" for file in files):
        if len(files) > 1:
            raise RouteError(f"an ONNX is imported alone, {len(files)} files were given; give it a route of its own")
        _refuse_for_onnx({"--model": name, "--outputs": outputs, "--normalization": normalization,
                          "options": options})
        stated: InputOptions = {"pixels": pixels, "channels": channels, "size": size, "output": output}
        route = Route(out, None, [_import_onnx(files[0], out, stated)])
    else:
        refuse_options({"pixels": pixels, "channels": channels, "output": output},
                       "checkpoints are fed by --normalization, and only an ONNX by this; leave it out")
        if name is None:
            raise RouteError("checkpoints do not name their network; name the architecture, e.g. --model iresnet50")
        models = (load_checkpoint(file, name, 112 if size is None else size, outputs, normalization or "unit",
                                  options or {}) for file in files)
        route = _import_models(models, out)
    license_name = license_text.strip() if license_text else find_license(files[-1])
    route.imported_from = ImportedFile(files[-1].name, sha256(files[-1]), license_name)
    route.write()
    return route


def _refuse_for_onnx(arguments: Mapping[str, Any]) -> None:
    given = [argument for argument, value in arguments.items() if value]
    if given:
        raise RouteError(f"{' and '.join(given)} describe checkpoints and have no effect on an ONNX, which holds its "
                         "network; leave them out (its input is stated by --pixels, --channels, --size, --output)")


def _import_onnx(file: Path, out: Path, options: InputOptions) -> Point:
    embedder = OnnxEmbedder(file, **options)  # refuses files that are not face models before anything is copied
    for note in embedder.notes:
        notify(note)
    model = read_model(file)
    if external_weights(file, model):
        raise RouteError(f"{path_text(file)} keeps its weights in other files; save it as one: "
                         "onnx.save(onnx.load(...), ...)")
    target = out / "point-00000001.onnx"
    with atomic_write(target) as temporary:
        if any(value is not None for value in options.values()):
            store_options(model, options)
            temporary.write_bytes(model.SerializeToString(deterministic=True))
        else:
            shutil.copyfile(file, temporary)
    return _imported_point(1, target)


def _import_models(models: Iterable[Network], out: Path) -> Route:
    route = Route(out, None)
    for position, model in enumerate(models, start=1):
        if route.spec is not None and model.spec != route.spec:
            raise RouteError(
                f"file {position} holds embeddings of length {model.spec.outputs}, those before it of "
                f"{route.spec.outputs}; the points of a route are one network, import the others by themselves"
            )
        route.spec = model.spec
        target = out / f"point-{position:08d}.safetensors"
        save_model(model, target)
        route.points.append(_imported_point(position, target))
    return route


def _imported_point(position: int, file: Path) -> Point:
    return Point(position, float(position), 0.0, "imported", file.name, sha256(file))
