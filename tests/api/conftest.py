"""The run folder of a tiny untrained network, distractors, and a trained tiny classifier."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facekd.api.search import search
from facekd.api.train import train
from facekd.config import TrainRecipe
from facekd.config.loading import load_recipe
from facekd.data.synthetic.dataset import write_faces
from facekd.models.registry import create
from facekd.models.weights import save_model
from facekd.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The run folder of an untrained network with an input of 32 px and embeddings of 16 numbers."""
    run = Run(tmp_path / "run")
    run.begin("train", load_recipe(TrainRecipe, None, ["dataset=f", "out=o"]), {})
    torch.manual_seed(0)
    save_model(create("mobilenetv2", size=32, outputs=16, expansion=2, width=0.25), run.model)
    run.finish()
    return run


@pytest.fixture
def distractors(tmp_path: Path) -> Path:
    """A face set of 15 identities with one image each."""
    write_faces(tmp_path / "distractors", range(100, 115), 1, size=32)
    return tmp_path / "distractors"


CLASSES = (
    "head.name=softmax", "data.val_fraction=0.1", "training.batch_size=6", "training.epochs=4",
    "training.learning_rate=0.05", "machine.device=cpu", "machine.threads=1",
)


@pytest.fixture(scope="session")
def classes_overrides() -> tuple[str, ...]:
    """The overrides that teacher and students of `small_classes` share: 6 steps an epoch, 4 epochs."""
    return CLASSES


@pytest.fixture(scope="session")
def classifier_run(small_classes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run of a tiny classifier, 24 steps with drops at 12 and 19; tests must not change it."""
    overrides = (*CLASSES, "model={name: resnet14, size: 32}", "training.lr_schedule=step",
                 "training.milestones=[0.5, 0.8]")
    return train(small_classes, tmp_path_factory.mktemp("classes") / "run", *overrides)


QUICK_SEARCH = (
    "training.epochs=3", "training.batch_size=6", "training.learning_rate=0.05", "sparsity=0.05", "random_controls=2",
    "machine.device=cpu", "machine.threads=1",
)
"""The overrides of a short search with two random controls."""


@pytest.fixture(scope="session")
def search_run(classifier_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run of a search at half the multiply-adds; tests must not change it."""
    return search(classifier_run, tmp_path_factory.mktemp("search") / "run", *QUICK_SEARCH)
