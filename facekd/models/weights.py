"""Networks on disk: safetensors files whose header contains the model description, so that the file is sufficient."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from facekd.errors import ModelError
from facekd.io import files
from facekd.io.documents import parse_json
from facekd.io.reading import parse_whole_number, reading
from facekd.models.registry import ModelSpec, Network, build
from facekd.text import path_text, shorten

VERSION = 2


def save_model(model: Network, path: Path) -> None:
    """Write a network atomically; the same weights give the same bytes.

    Raises:
        SetupError: the disk is full.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    spec = json.dumps(model.spec.to_dict(), sort_keys=True)
    header = {"format": "facekd.model", "version": str(VERSION), "spec": spec}
    files.write_bytes(path, _sort_header(save(weights, header)))


def load_model(path: Path) -> Network:
    """Rebuild a network written by `save_model`, in evaluation mode on the CPU.

    Raises:
        ModelError: the file is damaged, is not a facekd model, has another format version, or its weights do not fit
            its description.
    """
    with reading(path, ModelError, kind="safetensors"), safe_open(path, "pt") as handle:
        header = handle.metadata() or {}
        weights = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a mapping)
    spec = _read_spec(path, header)
    # Building a model draws random initial weights; the caller's random state must not depend on what is loaded.
    with torch.random.fork_rng(devices=[]):
        _check_description(spec, weights, path)
        model = build(spec)
    load_weights(model, weights, path_text(path))
    return model.eval()


def load_spec(path: Path) -> ModelSpec:
    """Return the description of a network written by `save_model`, without its weights.

    Raises:
        ModelError: the file is damaged, is not a facekd model, or has another format version.
    """
    with reading(path, ModelError, kind="safetensors"), safe_open(path, "pt") as handle:
        header = handle.metadata() or {}
    return _read_spec(path, header)


def _check_description(spec: ModelSpec, weights: Mapping[str, Tensor], path: Path) -> None:
    """Check before memory is taken that the described network is not larger than the weights of the file."""
    if "/" not in spec.name:
        with torch.device("meta"):
            check_shapes(build(spec), weights, path_text(path))
    # Not every network of another library can be built on the meta device.
    elif not any(spec.outputs in tensor.shape for tensor in weights.values()):
        raise ModelError(f"{path_text(path)}: its description names {spec.outputs:,} outputs, and no weight has as "
                         "many; restore it or make it again")


def _read_spec(path: Path, header: dict[str, str]) -> ModelSpec:
    """Read the model description in the header of a file."""
    if header.get("format") != "facekd.model":
        raise ModelError(f"{path_text(path)} holds weights but no facekd model description; import it by 'facekd route "
                         "import'")
    version = parse_whole_number(header.get("version", ""))
    if version is None:
        raise ModelError(f"{path_text(path)}: the version of its model description is damaged; restore it or make it "
                         "again")
    if version > VERSION:
        raise ModelError(f"{path_text(path)} was written by a newer facekd (model version {version}); upgrade facekd")
    if version < VERSION:
        raise ModelError(f"{path_text(path)} was written by an older facekd (model version {version}); train it again")
    record = parse_json(header.get("spec", ""), f"the model description of {path_text(path)}", ModelError)
    if not isinstance(record, dict):
        raise ModelError(f"{path_text(path)}: its model description is no JSON object; restore it or make it again")
    try:
        return ModelSpec.from_dict(record)
    except ModelError as error:
        raise ModelError(f"{path_text(path)}: {error}") from error


def _sort_header(data: bytes) -> bytes:
    """Sort the metadata of a safetensors file, which is written in random order: a route compares files by checksum."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format requires aligned tensors
    return len(text).to_bytes(8, "little") + text + data[end:]


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], label: str) -> None:
    """Load a state dict that must fit exactly; see `check_shapes`."""
    check_shapes(model, weights, label)
    with torch.no_grad():
        model.load_state_dict(weights)


def check_shapes(model: nn.Module, weights: Mapping[str, Tensor], label: str) -> None:
    """Compare the names and shapes of a state dict with those of a network, which may be on the meta device.

    Args:
        model: the network.
        weights: the state dict.
        label: the origin of the weights in messages, e.g. a path.

    Raises:
        ModelError: names or shapes differ; the first few are listed.
    """
    expected = model.state_dict()
    missing = [name for name in expected if name not in weights]
    unknown = [name for name in weights if name not in expected]
    shapes = [f"{name} is {tuple(weights[name].shape)}, not {tuple(value.shape)}"
              for name, value in expected.items() if name in weights and weights[name].shape != value.shape]
    problems = [f"{len(missing)} missing ({', '.join(missing[:3])})"] if missing else []
    problems += [f"{len(unknown)} unknown ({', '.join(unknown[:3])})"] if unknown else []
    problems += [f"{len(shapes)} of another shape ({'; '.join(shapes[:3])})"] if shapes else []
    if problems:
        raise ModelError(
            f"{label} belongs to another architecture: weights {shorten(', '.join(problems), 300)}; "
            "name the model these weights were trained as"
        )
