"""Bring your own teacher: a route made of checkpoints or of an ONNX that somebody trained elsewhere."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from onnx.external_data_helper import uses_external_data
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from facekd.errors import ModelError, RouteError
from facekd.models.onnx_embedder import OnnxEmbedder, read_graph
from facekd.models.registry import Network, create
from facekd.models.weights import load_weights, save_model
from facekd.route.route import Point, Route
from facekd.utils.files import atomic, sha256

WRAPPERS = ("state_dict_backbone", "state_dict", "model")
"""Keys under which trainers keep a network's weights: the first is arcface_torch's, the last RepDistiller's."""

LAST = ("features", "fc", "linear", "classifier")
"""What the last layer is called."""

PREFIXES = ("module.", "backbone.", "_orig_mod.")
"""What DistributedDataParallel, a surrounding module and torch.compile put in front of every name."""


def import_route(
    files: Sequence[Path], out: Path, *, name: str | None = None, size: int = 112, outputs: int | None = None,
    options: Mapping[str, Any] | None = None, pixels: str = "unit",
) -> Route:
    """Make a route of a teacher that was trained elsewhere; its points are numbered in the order the files are given.

    ``route.json`` is written last: where a file is refused there is no route, and the call can be repeated.

    Args:
        files: checkpoints, e.g. of arcface_torch or RepDistiller (``.pt``, ``.pth``: a state dict, bare or in a
            training checkpoint) or state dicts as ``.safetensors``, early ones first; or exactly one
            InsightFace-compatible ``.onnx``, which stays an ONNX and is run by ONNX Runtime.
        out: the folder to make.
        name: the architecture in the registry, e.g. ``iresnet50`` for arcface_torch's r50; an ONNX needs none.
        size: side of the crops the checkpoints were trained on; an ONNX says it itself.
        outputs: length of the embeddings, or number of classes; by default read off the checkpoint.
        options: of the architecture, e.g. ``{"width": 0.5}``.
        pixels: how pixels were scaled for it; classifiers of CIFAR-100 are usually trained with ``cifar100``.

    Returns:
        The route; step and epoch of its points count the files from 1.

    Raises:
        RouteError: no files, a mixture of kinds, a route in ``out`` already, or a checkpoint that cannot be read or
            holds more than weights; nothing in it is run.
        ModelError: weights of another architecture, an unknown architecture, or an ONNX that is no face model.
        SetupError: the disk is full.
    """
    if not files:
        raise RouteError("no file to import; give the checkpoints of a teacher, early ones first, or one ONNX")
    if (out / "route.json").exists():
        raise RouteError(f"{out} holds a route already; import into another folder, or delete this one")
    if any(file.suffix == ".onnx" for file in files):
        if len(files) > 1:
            raise RouteError(f"an ONNX is imported alone, {len(files)} files were given; give it a route of its own")
        route = Route(out, None, [_import_onnx(files[0], out)])
    else:
        if name is None:
            raise RouteError("checkpoints do not say which network they are of; name the architecture, e.g. iresnet50")
        models = (_load_checkpoint(file, name, size, outputs, pixels, options or {}) for file in files)
        route = _import_models(models, out)
    route.write()
    return route


def _import_onnx(file: Path, out: Path) -> Point:
    OnnxEmbedder(file)  # refuses what is no face model, before anything is copied
    if any(uses_external_data(tensor) for tensor in read_graph(file).initializer):
        raise RouteError(f"{file} keeps its weights in other files; save it as one: onnx.save(onnx.load(...), ...)")
    target = out / "point-00000001.onnx"
    with atomic(target) as temporary:
        shutil.copyfile(file, temporary)
    return _point(1, target)


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
        route.points.append(_point(position, target))
    return route


def _point(position: int, file: Path) -> Point:
    return Point(position, float(position), 0.0, "imported", file.name, sha256(file))


def _load_checkpoint(file: Path, name: str, size: int, outputs: int | None, pixels: str,
                     options: Mapping[str, Any]) -> Network:
    weights = _weights(file)
    if outputs is None:
        last = next((weights[f"{layer}.weight"] for layer in LAST if f"{layer}.weight" in weights), None)
        if last is None:
            raise ModelError(f"{file}: its weights do not tell the number of outputs; give it as outputs")
        outputs = len(last)
    model = create(name, size=size, outputs=outputs, pixels=pixels, **options)
    load_weights(model, weights, str(file))
    return model


def _weights(file: Path) -> dict[str, Tensor]:
    """The bare state dict in a checkpoint: out of its wrapper, the common prefixes off its names."""
    content = _read(file)
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise RouteError(
            f"{file} holds no state dict (names and tensors), neither bare nor under {' or '.join(WRAPPERS)}; "
            "save the network's weights by torch.save(model.state_dict(), ...)"
        )
    weights = {str(key): value for key, value in content.items()}
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in weights)), None):
        weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights


def _read(file: Path) -> Any:
    if not file.is_file():
        raise RouteError(f"{file} does not exist; check the path")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise RouteError(f"{file} is no readable safetensors file ({error}); fetch or save it again") from error
    except Exception as error:  # torch raises pickle, zip, runtime and type errors here, all meaning the same
        # Its own text is not passed on: it advises loading the file with code allowed.
        if foreign := re.search(r"GLOBAL ([\w.]+\w)", str(error)):
            raise RouteError(
                f"{file} holds more than weights (it names {foreign[1]}); it was not loaded and nothing in it was run. "
                "Where it comes from, save the weights alone: torch.save(model.state_dict(), ...)"
            ) from None
        kind = type(error).__name__
        raise RouteError(f"{file} is no readable PyTorch checkpoint ({kind}); fetch or save it again") from None
