"""A tiny untrained network as a run folder, and a tiny classifier that was taught."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facekd.api.train import teach
from facekd.config import TeachRecipe
from facekd.config.loading import load_recipe
from facekd.data.synthetic.dataset import write_faces
from facekd.models.registry import create
from facekd.models.weights import save_model
from facekd.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run folder of a network of 32 px and 16 numbers."""
    run = Run(tmp_path / "run")
    run.begin("teach", load_recipe(TeachRecipe, None, ["faces=f", "out=o"]), {})
    torch.manual_seed(0)
    save_model(create("mobilenetv2", size=32, outputs=16, expansion=2, width=0.25), run.model)
    run.finish()
    return run


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """15 people with one image each, as distractors."""
    write_faces(tmp_path / "strangers", range(100, 115), 1, size=32)
    return tmp_path / "strangers"


CLASSES = (
    "head.name=softmax", "data.withhold=0.1", "schedule.batch=6", "schedule.epochs=4", "schedule.learning_rate=0.05",
    "machine.device=cpu", "machine.threads=1",
)


@pytest.fixture(scope="session")
def classes_recipe() -> tuple[str, ...]:
    """The overrides that teacher and students of `small_classes` share: 6 steps an epoch, 4 epochs."""
    return CLASSES


@pytest.fixture(scope="session")
def taught_classes(small_classes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run of a tiny classifier, 24 steps with drops at 12 and 19; tests must not change it."""
    own = ("model={name: resnet14, size: 32}", "schedule.shape=step",
           "schedule.milestones=[0.5, 0.8]")
    return teach(small_classes, tmp_path_factory.mktemp("classes") / "run", *CLASSES, *own)
