"""Import of external teachers: routes made of checkpoints, or of an ONNX, that were trained with other programs."""

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
from facekd.utils.files import atomic_write, sha256

STATE_DICT_KEYS = ("state_dict_backbone", "state_dict", "model")
"""Keys under which trainers store a network's weights: the first is arcface_torch's, the last RepDistiller's."""

LAST_LAYER_NAMES = ("features", "fc", "linear", "classifier")
"""Common names of the last layer."""

NAME_PREFIXES = ("module.", "backbone.", "_orig_mod.")
"""Prefixes of all names added by DistributedDataParallel, an enclosing module and torch.compile."""


def import_route(
    files: Sequence[Path], out: Path, *, name: str | None = None, size: int = 112, outputs: int | None = None,
    options: Mapping[str, Any] | None = None, normalization: str = "unit",
) -> Route:
    """Make a route of a teacher that was trained elsewhere; its points are numbered in the order of the files.

    ``route.json`` is written last: if a file is refused there is no route, and the call can be repeated.

    Args:
        files: checkpoints, e.g. of arcface_torch or RepDistiller (``.pt``, ``.pth``: a state dict, bare or in a
            training checkpoint), or state dicts as ``.safetensors``, early ones first; or exactly one
            InsightFace-compatible ``.onnx``, which stays an ONNX and is run by ONNX Runtime.
        out: the folder of the new route.
        name: the architecture in the registry, e.g. ``iresnet50`` for arcface_torch's r50; not needed for an ONNX.
        size: the side of the crops the checkpoints were trained on; an ONNX contains it.
        outputs: the length of the embeddings, or the number of classes; by default read from the checkpoint.
        options: the options of the architecture, e.g. ``{"width": 0.5}``.
        normalization: the pixel normalization of the teacher; CIFAR-100 classifiers usually use ``cifar100``.

    Returns:
        The route; step and epoch of its points count the files from 1.

    Raises:
        RouteError: no files, a mixture of file types, an existing route in ``out``, or a checkpoint that cannot be
            read or holds more than weights; no code in a checkpoint is run.
        ModelError: weights of another architecture, an unknown architecture, or an ONNX that is not a face model.
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
            raise RouteError("checkpoints do not name their network; name the architecture, e.g. iresnet50")
        models = (_load_checkpoint(file, name, size, outputs, normalization, options or {}) for file in files)
        route = _import_models(models, out)
    route.write()
    return route


def _import_onnx(file: Path, out: Path) -> Point:
    OnnxEmbedder(file)  # refuses files that are not face models before anything is copied
    if any(uses_external_data(tensor) for tensor in read_graph(file).initializer):
        raise RouteError(f"{file} keeps its weights in other files; save it as one: onnx.save(onnx.load(...), ...)")
    target = out / "point-00000001.onnx"
    with atomic_write(target) as temporary:
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


def _load_checkpoint(file: Path, name: str, size: int, outputs: int | None, normalization: str,
                     options: Mapping[str, Any]) -> Network:
    weights = _read_state_dict(file)
    if outputs is None:
        names = [f"{layer}.weight" for layer in LAST_LAYER_NAMES]
        last_weight = next((weights[key] for key in names if key in weights), None)
        if last_weight is None:
            raise ModelError(f"{file}: the number of outputs cannot be read from its weights; give it as outputs")
        outputs = len(last_weight)
    model = create(name, size=size, outputs=outputs, normalization=normalization, **options)
    load_weights(model, weights, str(file))
    return model


def _read_state_dict(file: Path) -> dict[str, Tensor]:
    """Return the bare state dict of a checkpoint: unwrapped, without the common prefixes of its names."""
    content = _read_file(file)
    for key in STATE_DICT_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise RouteError(
            f"{file} holds no state dict (names and tensors), neither bare nor under {' or '.join(STATE_DICT_KEYS)}; "
            "save the network's weights by torch.save(model.state_dict(), ...)"
        )
    weights = {str(key): value for key, value in content.items()}
    while prefix := next((p for p in NAME_PREFIXES if all(key.startswith(p) for key in weights)), None):
        weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights


def _read_file(file: Path) -> Any:
    """Return the content of a checkpoint file without running code in it."""
    if not file.is_file():
        raise RouteError(f"{file} does not exist; check the path")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise RouteError(f"{file} is no readable safetensors file ({error}); fetch or save it again") from error
    except Exception as error:  # torch raises pickle, zip, runtime and type errors for unreadable files
        # The text of torch's error is not shown: it recommends loading the file with code allowed.
        if foreign := re.search(r"GLOBAL ([\w.]+\w)", str(error)):
            raise RouteError(
                f"{file} holds more than weights (it names {foreign[1]}); it was not loaded and nothing in it was run. "
                "Save the weights alone with the program that made it: torch.save(model.state_dict(), ...)"
            ) from None
        kind = type(error).__name__
        raise RouteError(f"{file} is no readable PyTorch checkpoint ({kind}); fetch or save it again") from None
