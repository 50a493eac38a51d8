"""Networks on disk: safetensors with the model's description in the header, so that a file is enough to rebuild it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from facekd.errors import ModelError
from facekd.models.registry import ModelSpec, Network, build
from facekd.utils import files

VERSION = 1


def save_model(model: Network, path: Path) -> None:
    """Write a network atomically; the same weights give the same bytes.

    Raises:
        SetupError: the disk is full.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    spec = json.dumps(model.spec.to_dict(), sort_keys=True)
    header = {"format": "facekd.model", "version": str(VERSION), "spec": spec}
    files.write_bytes(path, _sorted_header(save(weights, header)))


def load_model(path: Path) -> Network:
    """Rebuild a network written by `save_model`, in evaluation mode on the CPU.

    Raises:
        ModelError: the file is damaged, is no facekd model, or its weights do not fit its description.
    """
    try:
        with safe_open(path, "pt") as handle:
            header = handle.metadata() or {}
            weights = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (no mapping)
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist; check the path") from None
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is no readable safetensors file ({error}); restore it or make it again") from error
    if header.get("format") != "facekd.model":
        raise ModelError(f"{path} holds weights but no facekd model description; import it by 'facekd route import'")
    try:
        version, spec = int(header["version"]), dict(json.loads(header["spec"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: its model description is damaged ({error!r}); restore it or make it again"
        ) from error
    if version > VERSION:
        raise ModelError(f"{path} was written by a newer facekd (model version {version}); upgrade facekd")
    # A training that loads an anchor draws the same numbers as one that need not.
    with torch.random.fork_rng(devices=[]):
        model = build(ModelSpec.from_dict(spec))
    load_weights(model, weights, str(path))
    return model.eval()


def _sorted_header(data: bytes) -> bytes:
    """Safetensors writes its metadata in random order; a route needs equal weights to have equal checksums."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format wants the tensors aligned
    return len(text).to_bytes(8, "little") + text + data[end:]


def load_weights(model: nn.Module, weights: dict[str, Tensor], where: str) -> None:
    """Load a state dict that must fit exactly.

    Raises:
        ModelError: names or shapes differ; the first few are listed.
    """
    own = model.state_dict()
    missing = [n for n in own if n not in weights]
    foreign = [n for n in weights if n not in own]
    shapes = [f"{n} is {tuple(weights[n].shape)}, not {tuple(own[n].shape)}"
              for n in own if n in weights and weights[n].shape != own[n].shape]
    problems = [f"{len(missing)} missing ({', '.join(missing[:3])})"] if missing else []
    problems += [f"{len(foreign)} unknown ({', '.join(foreign[:3])})"] if foreign else []
    problems += [f"{len(shapes)} of another shape ({'; '.join(shapes[:3])})"] if shapes else []
    if problems:
        raise ModelError(
            f"{where} belongs to another architecture: weights {', '.join(problems)}; "
            "name the model these weights were trained as"
        )
    with torch.no_grad():
        model.load_state_dict(weights)
