"""Checkpoints: the state that a killed run continues from, bit for bit.

``step-00000120-0f1e2d3c4b5a6978.pt`` is the state after 120 steps; the second part of the name is the beginning of the
SHA-256 of the content. A run continues from the newest checkpoint that is intact.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facekd.errors import ModelError
from facekd.io import files
from facekd.io.reading import reading
from facekd.io.torch_archive import measure_archive
from facekd.models.weights import load_weights
from facekd.training.sharded_state import shard_state
from facekd.utils.console import notify

VERSION = 3
FURTHER_STATES = ("optimizer", "scaler", "ema")
"""The state dicts beside that of the method."""


@dataclass(frozen=True)
class Position:
    """How far a run is.

    Attributes:
        stage: number of the current stage, from 0.
        stage_step: steps that are done in this stage.
        step: steps that are done in all.
    """

    stage: int
    stage_step: int
    step: int


def save(folder: Path, position: Position, method: Mapping[str, Any], keep: int = 2, *,
         optimizer: Mapping[str, Any], scaler: Mapping[str, Any], ema: Mapping[str, Any]) -> Path:
    """Write a checkpoint atomically, then remove all but the newest.

    Args:
        folder: the folder of the run's checkpoints.
        position: how far the run is.
        method: the state dict of the training method, with all class centers.
        keep: how many of the newest checkpoints are kept; at least 1.
        optimizer: the state dict of the optimizer.
        scaler: the state dict of the gradient scaler.
        ema: the state dict of the average of the weights; empty without one.

    Returns:
        the file.

    Raises:
        SetupError: the disk is full; the previous checkpoints are untouched.
    """
    state = {
        "format": "facekd.checkpoint", "version": VERSION,
        "position": [position.stage, position.stage_step, position.step], "method": dict(method),
        "rng": torch.get_rng_state(), "cuda_rng": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "optimizer": optimizer, "scaler": scaler, "ema": ema,
    }
    buffer = io.BytesIO()  # torch's own file writer does not report a full disk
    torch.save(state, buffer)
    path = folder / f"step-{position.step:08d}-{_digest(buffer.getbuffer())}.pt"
    files.write_bytes(path, buffer.getvalue())
    others = [file for file in list_checkpoints(folder) if file != path]
    for file in others[: max(len(others) - (keep - 1), 0)]:
        file.unlink()
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, the newest last."""
    return sorted(folder.glob("step-*.pt"))


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running any code it contains.

    Raises:
        ModelError: the file is damaged, is not a checkpoint of facekd, or is of another version of the format.
    """
    with reading(path, ModelError, remedy="delete it; the one before is taken"):
        content = path.read_bytes()
    if _digest(content) != path.stem.rpartition("-")[2]:
        raise ModelError(f"{path} is damaged (its checksum differs)")
    try:
        if measure_archive(io.BytesIO(content)).grows:
            raise ValueError("it was made to fill the memory")
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip, runtime and type errors here, all with the same meaning
        # Its own text is not shown: it recommends loading the file with code allowed.
        raise ModelError(f"{path} is no readable checkpoint ({type(error).__name__})") from None
    if not isinstance(state, dict) or state.get("format") != "facekd.checkpoint":
        raise ModelError(f"{path} is no checkpoint of facekd")
    version = state.get("version")
    if not isinstance(version, int):
        raise ModelError(f"{path} is damaged (it has no version)")
    if version > VERSION:
        raise ModelError(f"{path} was written by a newer facekd (version {version}); upgrade facekd")
    if version < VERSION:
        raise ModelError(f"{path} was written by an older facekd (version {version}); train again in a new folder")
    if not _has_all_parts(state):
        raise ModelError(f"{path} is damaged (a part is missing or of another kind)")
    return state


def _has_all_parts(state: Mapping[str, Any]) -> bool:
    position = state.get("position")
    return (isinstance(position, list) and len(position) == 3 and all(type(number) is int for number in position)
            and all(isinstance(state.get(name), Mapping) for name in ("method", *FURTHER_STATES))
            and isinstance(state.get("rng"), torch.Tensor))


def load_newest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Read the newest intact checkpoint; return None where the folder has none.

    Damaged checkpoints are reported on the standard error and skipped.

    Raises:
        ModelError: all are damaged.
    """
    problems = []
    for path in reversed(list_checkpoints(folder)):
        try:
            state = load(path)
        except ModelError as problem:
            problems.append(str(problem))
            continue
        for text in problems:
            notify(f"{text}; continuing from {path.name}, after step {state['position'][2]}")
        return path, state
    if problems:
        raise ModelError(f"{'; '.join(problems)}. None is left; delete {folder} to train from the beginning")
    return None


def restore(folder: Path, method: nn.Module) -> tuple[Position, dict[str, Any]] | None:
    """Load the newest intact checkpoint into ``method`` and the random number generators.

    Returns:
        the position, and the `FURTHER_STATES` by name; None where there is no checkpoint.

    Raises:
        ModelError: all are damaged, or the newest belongs to another architecture.
    """
    newest = load_newest(folder)
    if newest is None:
        return None
    path, state = newest
    load_weights(method, shard_state(method, state["method"]), str(path))
    with reading(path, ModelError, remedy="delete it; the one before is taken"):
        torch.set_rng_state(state["rng"])
        if torch.cuda.is_available() and state.get("cuda_rng") is not None:
            torch.cuda.set_rng_state(state["cuda_rng"])
    return Position(*state["position"]), {name: state[name] for name in FURTHER_STATES}


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
