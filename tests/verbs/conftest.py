"""A tiny untrained network, as a file and as a run folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facekd.config import TeachRecipe, load_recipe
from facekd.models.registry import create
from facekd.models.weights import save_model
from facekd.runs import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run folder of a network of 32 px and 16 numbers."""
    run = Run(tmp_path / "run")
    run.begin("teach", load_recipe(TeachRecipe, None, ["faces=f", "out=o"]), {})
    torch.manual_seed(0)
    save_model(create("mobilenetv2", size=32, embedding=16, expansion=2, width=0.25), run.model)
    run.finish()
    return run
