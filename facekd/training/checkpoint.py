"""Checkpoints: all that a killed run needs to go on as if nothing had happened."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facekd import files
from facekd.errors import ModelError
from facekd.models.weights import load_weights

VERSION = 1
OWN = ("format", "version", "position", "method", "rng")


@dataclass(frozen=True)
class Position:
    """How far a run is: ``step`` steps are done in all, ``stage_step`` of them in stage number ``stage``."""

    stage: int
    stage_step: int
    step: int


def save(path: Path, position: Position, method: nn.Module, **states: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file.
        position: how far the run is.
        method: what is trained.
        states: what else is to come back, as state dicts by name: ``optimizer``, and what else the loop keeps.

    Raises:
        SetupError: the disk is full; the checkpoint before this one is untouched.
    """
    state = {
        "format": "facekd.checkpoint", "version": VERSION,
        "position": [position.stage, position.stage_step, position.step],
        "method": method.state_dict(), "rng": torch.get_rng_state(), **states,
    }
    buffer = io.BytesIO()  # torch's own file writer does not say that a disk is full
    torch.save(state, buffer)
    files.write_bytes(path, buffer.getvalue())


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running anything it holds.

    Raises:
        ModelError: the file is damaged, or no checkpoint of facekd.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip, runtime and type errors here, all meaning the same
        # Its own text is not passed on: it advises loading the file with code allowed.
        kind = type(error).__name__
        raise ModelError(f"{path} is no readable checkpoint ({kind}); delete it to train from the beginning") from None
    if not isinstance(state, dict) or state.get("format") != "facekd.checkpoint":
        raise ModelError(f"{path} is no checkpoint of facekd; check the path")
    if state["version"] > VERSION:
        raise ModelError(f"{path} was written by a newer facekd (version {state['version']}); upgrade facekd")
    return state


def restore(path: Path, method: nn.Module) -> tuple[Position, dict[str, Any]]:
    """Load a checkpoint into ``method`` and the random state.

    Returns:
        the position, and the other states by name: ``optimizer``, for the optimiser of that stage, and what else
        `save` was given.

    Raises:
        ModelError: the checkpoint belongs to another architecture.
    """
    state = load(path)
    load_weights(method, state["method"], str(path))
    torch.set_rng_state(state["rng"])
    return Position(*state["position"]), {name: value for name, value in state.items() if name not in OWN}
