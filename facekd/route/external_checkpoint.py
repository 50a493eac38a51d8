"""The weights of a checkpoint that another program wrote, read without running code and in bounded memory."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from facekd.errors import ModelError, RouteError
from facekd.io.torch_archive import measure_archive
from facekd.models.registry import Network, create
from facekd.models.weights import load_weights
from facekd.text import path_text, shorten

STATE_DICT_KEYS = ("state_dict_backbone", "state_dict", "model")
"""Keys under which trainers store a network's weights: the first is arcface_torch's, the last RepDistiller's."""

LAST_LAYER_NAMES = ("features", "fc", "linear", "classifier")
"""Common names of the last layer."""

NAME_PREFIXES = ("module.", "backbone.", "_orig_mod.")
"""Prefixes of all names added by DistributedDataParallel, an enclosing module and torch.compile."""

MAX_GROWTH = 4
"""How many times the size of its file the weights of a checkpoint may have: tensors can share their memory."""
SMALL = 1 << 20
"""Bytes that are always allowed."""


def load_checkpoint(file: Path, name: str, size: int, outputs: int | None, normalization: str,
                    options: Mapping[str, Any]) -> Network:
    """Load a checkpoint into a network of the registry.

    Args:
        file: a state dict, bare or in a training checkpoint.
        name: the architecture.
        size: the side of its input in pixels.
        outputs: the length of its outputs; None reads it from the weights.
        normalization: its pixel normalization.
        options: the options of the architecture.

    Raises:
        RouteError: the file cannot be read, holds more than weights, or asks for more memory than its size explains.
        ModelError: the weights are those of another architecture, or the architecture is unknown.
    """
    weights = _read_state_dict(file)
    if outputs is None:
        names = [f"{layer}.weight" for layer in LAST_LAYER_NAMES]
        last_weight = next((weights[key] for key in names if key in weights), None)
        if last_weight is None:
            raise ModelError(f"{path_text(file)}: none of its weights is {', '.join(names[:-1])} or {names[-1]}, so it "
                             f"may not be a checkpoint of {shorten(name)}; if it is, give --outputs NUMBER")
        outputs = len(last_weight)
    model = create(name, size=size, outputs=outputs, normalization=normalization, **options)
    load_weights(model, weights, path_text(file))
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
            f"{path_text(file)} holds no state dict (names and tensors), neither bare nor under "
            f"{' or '.join(STATE_DICT_KEYS)}; save the network's weights by torch.save(model.state_dict(), ...)"
        )
    _check_tensors(file, sum(value.numel() * value.element_size() for value in content.values()))
    weights = {str(key): value for key, value in content.items()}
    while prefix := next((p for p in NAME_PREFIXES if all(key.startswith(p) for key in weights)), None):
        weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights


def _read_file(file: Path) -> Any:
    """Return the content of a checkpoint file without running code in it."""
    if not file.is_file():
        raise RouteError(f"{path_text(file)} does not exist; check the path")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        if zipfile.is_zipfile(file):  # older versions of torch wrote no archives
            _check_archive(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except RouteError:
        raise
    except SafetensorError as error:
        raise RouteError(f"{path_text(file)} is no readable safetensors file ({shorten(error)}); fetch or save it "
                         "again") from error
    except Exception as error:  # torch raises pickle, zip, runtime and type errors for unreadable files
        # The text of torch's error is not shown: it recommends loading the file with code allowed.
        if foreign := re.search(r"GLOBAL ([\w.]+\w)", str(error)):
            raise RouteError(
                f"{path_text(file)} holds more than weights (it names {shorten(foreign[1])}); it was not loaded and "
                "nothing in it was run. Save the weights alone with the program that made it: "
                "torch.save(model.state_dict(), ...)"
            ) from None
        kind = type(error).__name__
        raise RouteError(f"{path_text(file)} is no readable PyTorch checkpoint ({kind}); fetch or save it "
                         "again") from None


def _check_archive(file: Path) -> None:
    """Refuse a checkpoint that is compressed, before it is unfolded."""
    with file.open("rb") as handle:
        size = measure_archive(handle)
    if size.grows:
        raise RouteError(f"{path_text(file)} has {size.stored:,} bytes and unfolds to {size.unfolded:,}, but torch "
                         "compresses nothing; save it again by torch.save(model.state_dict(), ...)")


def _check_tensors(file: Path, size: int) -> None:
    """Refuse a checkpoint whose tensors of ``size`` bytes are much larger than its file: they repeat their memory."""
    stored = file.stat().st_size
    if size > MAX_GROWTH * stored + SMALL:
        raise RouteError(f"{path_text(file)} has {stored:,} bytes and unfolds to {size:,}, too many for a "
                         "checkpoint; save it again by torch.save(model.state_dict(), ...)")
