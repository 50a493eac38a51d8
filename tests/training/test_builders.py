"""Networks, heads and loaders as recipes describe them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from facekd.config import HeadRecipe, ModelRecipe, TrainRecipe
from facekd.data.training_set import TrainingSet, open_training_set
from facekd.errors import DataError, SetupError
from facekd.heads.base import Softmax
from facekd.heads.margin_head import MarginHead
from facekd.heads.partial_fc import PartialFCHead
from facekd.training import builders
from facekd.training.builders import build_head, build_loader, build_network
from facekd.training.machine import Machine

RESNET = ModelRecipe(name="resnet8", size=32, embedding=24, normalization="cifar10", options={"width": 0.5})


def recipe(out: Path, **training: Any) -> TrainRecipe:
    return TrainRecipe.model_validate({"dataset": "d", "out": str(out), "training": training,
                                       "machine": {"device": "cpu"}})


@pytest.fixture
def data(small_faces: Path, tmp_path: Path) -> TrainingSet:
    return open_training_set(str(small_faces), recipe(tmp_path).data, False)


def test_a_face_network_has_an_embedding_and_a_classifier_the_classes() -> None:
    images = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    for head, outputs in ((HeadRecipe(name="arcface"), 24), (HeadRecipe(name="softmax"), 10)):
        network = build_network(RESNET, head, 10)
        assert network(network.preprocess(images)).shape == (2, outputs)
        assert (network.spec.normalization, network.spec.options["width"]) == ("cifar10", 0.5)


def test_a_head_is_that_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(build_head(HeadRecipe(name="softmax"), 10, 10), Softmax)
    margin_head = build_head(HeadRecipe(name="cosface", scale=16, sub_centers=3), 24, 10)
    assert isinstance(margin_head, MarginHead) and not isinstance(margin_head, PartialFCHead)
    assert (margin_head.scale, margin_head.weight.shape) == (16, (30, 24))
    assert isinstance(build_head(HeadRecipe(sample_rate=0.5), 24, 10), PartialFCHead)
    monkeypatch.setattr(builders, "get_world_size", lambda: 2)
    assert isinstance(build_head(HeadRecipe(), 24, 10), PartialFCHead)


@pytest.mark.parametrize("name", ["arcface", "softmax"])
def test_a_head_over_one_class_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="holds one class, from whose labels nothing can be learned"):
        build_head(HeadRecipe(name=name), 1, 1)


def test_negatives_are_sampled_by_torchs_seed() -> None:
    torch.manual_seed(7)
    head = build_head(HeadRecipe(sample_rate=0.5), 24, 10)
    assert isinstance(head, PartialFCHead) and head.seed == 7


def test_a_batch_of_the_loader_is_one_optimizer_step(data: TrainingSet, tmp_path: Path) -> None:
    given = recipe(tmp_path, batch_size=4, gradient_accumulation_steps=3)
    loader = build_loader(data, 32, given, Machine(given.machine))
    batch = next(loader.iter_steps(0, 1))
    assert batch.images.shape == (12, 32, 32, 3)
    assert loader.steps_per_epoch == 48 // 12


def test_each_rank_has_its_part_of_a_batch(
    data: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = recipe(tmp_path, batch_size=4)
    machine = Machine(given.machine)
    whole = next(build_loader(data, 32, given, machine).iter_steps(0, 1))
    monkeypatch.setattr(builders, "get_world_size", lambda: 2)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(builders, "get_rank", lambda rank=rank: rank)
        parts.append(next(build_loader(data, 32, given, machine).iter_steps(0, 1)))
    assert torch.equal(torch.cat([part.index for part in parts]), whole.index)


def test_a_batch_that_cannot_be_divided_among_processes_is_refused(
    data: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builders, "get_world_size", lambda: 3)
    given = recipe(tmp_path, batch_size=4)
    with pytest.raises(SetupError, match=r"cannot be shared out equally among 3 processes.*multiple of 3"):
        build_loader(data, 32, given, Machine(given.machine))


def test_a_set_smaller_than_a_batch_is_refused(data: TrainingSet, tmp_path: Path) -> None:
    given = recipe(tmp_path, batch_size=49)
    with pytest.raises(DataError, match="fewer than one batch of 49"):
        build_loader(data, 32, given, Machine(given.machine))
