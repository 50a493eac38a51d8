"""Checkpoints: all that a killed run needs to go on as if nothing had happened.

``step-00000120-0f1e2d3c4b5a6978.pt`` is the state after 120 steps; the second part of the name is the beginning of the
SHA-256 of its content. The newest one that is whole is continued from.
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
from facekd.models.weights import load_weights
from facekd.training.sharded_state import own_state
from facekd.utils import files
from facekd.utils.progress import tell

VERSION = 2
OWN = ("format", "version", "position", "method", "rng", "cuda_rng")
LAST = "last.pt"
"""The one checkpoint of a run that an earlier facekd began."""


@dataclass(frozen=True)
class Position:
    """How far a run is: ``step`` steps are done in all, ``stage_step`` of them in stage number ``stage``."""

    stage: int
    stage_step: int
    step: int


def save(folder: Path, position: Position, method: Mapping[str, Any], keep: int = 2, **states: Mapping[str, Any]
         ) -> Path:
    """Write a checkpoint atomically, then remove those that are no longer kept.

    Args:
        folder: of the run's checkpoints.
        position: how far the run is.
        method: state dict of what is trained, with all class centres.
        keep: how many of the newest stay; at least 1.
        states: what else is to come back, as state dicts by name: ``optimizer``, and what else the loop keeps.

    Returns:
        the file.

    Raises:
        SetupError: the disk is full; the checkpoints before this one are untouched.
    """
    state = {
        "format": "facekd.checkpoint", "version": VERSION,
        "position": [position.stage, position.stage_step, position.step], "method": dict(method),
        "rng": torch.get_rng_state(), "cuda_rng": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        **states,
    }
    buffer = io.BytesIO()  # torch's own file writer does not say that a disk is full
    torch.save(state, buffer)
    path = folder / f"step-{position.step:08d}-{_digest(buffer.getbuffer())}.pt"
    files.write_bytes(path, buffer.getvalue())
    for old in [file for file in kept(folder) if file != path][: -(keep - 1) or None]:
        old.unlink()
    return path


def kept(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest last."""
    return [*folder.glob(LAST), *sorted(folder.glob("step-*.pt"))]


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running anything it holds.

    Raises:
        ModelError: the file is damaged, or no checkpoint of facekd.
    """
    content = path.read_bytes()
    if path.name != LAST and _digest(content) != path.stem.rpartition("-")[2]:
        raise ModelError(f"{path} is damaged (its checksum differs)")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip, runtime and type errors here, all meaning the same
        # Its own text is not passed on: it advises loading the file with code allowed.
        raise ModelError(f"{path} is no readable checkpoint ({type(error).__name__})") from None
    if not isinstance(state, dict) or state.get("format") != "facekd.checkpoint":
        raise ModelError(f"{path} is no checkpoint of facekd")
    if state["version"] > VERSION:
        raise ModelError(f"{path} was written by a newer facekd (version {state['version']}); upgrade facekd")
    return state


def newest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that is whole, and what it holds; None where the folder has none.

    Damaged ones are named on the standard error, and passed over.

    Raises:
        ModelError: all are damaged.
    """
    problems = []
    for path in reversed(kept(folder)):
        try:
            state = load(path)
        except ModelError as problem:
            problems.append(str(problem))
            continue
        for text in problems:
            tell(f"{text}; going on from {path.name}, after step {state['position'][2]}")
        return path, state
    if problems:
        raise ModelError(f"{'; '.join(problems)}. None is left; delete {folder} to train from the beginning")
    return None


def restore(folder: Path, method: nn.Module) -> tuple[Position, dict[str, Any]] | None:
    """Load the newest checkpoint that is whole into ``method`` and the random state.

    Returns:
        the position, and the other states by name: ``optimizer``, for the optimiser of that stage, and what else
        `save` was given; None where there is no checkpoint.

    Raises:
        ModelError: all are damaged, or the newest belongs to another architecture.
    """
    found = newest(folder)
    if found is None:
        return None
    path, state = found
    load_weights(method, own_state(method, state["method"]), str(path))
    torch.set_rng_state(state["rng"])
    if torch.cuda.is_available() and state.get("cuda_rng") is not None:
        torch.cuda.set_rng_state(state["cuda_rng"])
    return Position(*state["position"]), {name: value for name, value in state.items() if name not in OWN}


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
