"""``train`` on a closed set: the outputs of the network are logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facekd.api.train import train
from facekd.data.containers.class_set import open_class_set
from facekd.data.image_set import split_validation
from facekd.data.loading.loader import Loader
from facekd.errors import DataError
from facekd.models.weights import load_model
from facekd.route.route import Route
from facekd.run import Run
from facekd.training.trainer import Trainer


def test_a_classifier_has_an_output_a_class(classifier_run: Path, small_classes: Path) -> None:
    network = load_model(classifier_run / "model.safetensors")
    assert (network.spec.name, network.spec.outputs) == ("resnet14", 4)
    info = Run(classifier_run).info()
    images = split_validation(open_class_set(small_classes, "train"), 0.1)[0]
    assert info["dataset"] == {"content": images.fingerprint().content, "classes": 4, "images": 36}


def test_it_learns_its_images(classifier_run: Path, small_classes: Path) -> None:
    images = open_class_set(small_classes, "train")
    network = load_model(classifier_run / "model.safetensors")
    pixels = torch.stack([torch.from_numpy(images.pixels(i)) for i in range(len(images))])
    with torch.no_grad():
        predictions = network(network.preprocess(pixels)).argmax(dim=1)
    assert float((predictions == torch.from_numpy(images.labels)).float().mean()) > 0.5


def test_its_route_has_the_ends_of_the_plateaus(classifier_run: Path) -> None:
    points = Route.open(classifier_run).points
    assert [(p.step, p.reason) for p in points] == [
        (6, "epoch"), (12, "before drop"), (18, "epoch"), (19, "before drop"), (24, "last")]


def test_training_can_be_limited_to_the_first_classes(
    small_classes: Path, classes_overrides: tuple[str, ...], tmp_path: Path
) -> None:
    values = (*classes_overrides, "model.name=resnet8", "model.size=32", "training.epochs=0.2", "data.classes=3")
    run = train(small_classes, tmp_path / "run", *values)
    assert load_model(run / "model.safetensors").spec.outputs == 3
    assert Run(run).info()["dataset"]["images"] == 27


def test_more_classes_than_there_are_are_refused(
    small_classes: Path, classes_overrides: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="has 4 classes, not 5"):
        train(small_classes, tmp_path / "run", *classes_overrides, "data.classes=5")


@pytest.fixture
def recorded_loaders(monkeypatch: pytest.MonkeyPatch) -> list[Loader]:
    """The loaders of trainings, which do not train."""
    loaders: list[Loader] = []
    monkeypatch.setattr(Trainer, "fit", lambda self: loaders.append(self.loader))
    return loaders


@pytest.mark.parametrize(("values", "key"), [
    ([], "crop4-seed0"), (["data.augmentation.padding=2", "data.augmentation.seed=3"], "crop2-seed3"),
    (["data.augmentation.kind=flip"], "flip"), (["data.augmentation.kind=plain"], "plain"),
    (["data.augmentation={kind: resized-crop, seed: 1}"], "resized-crop-seed1"),
])
def test_a_classifier_sees_crops_unless_another_augmentation_is_set(
    small_classes: Path, classes_overrides: tuple[str, ...], tmp_path: Path, recorded_loaders: list[Loader],
    values: list[str], key: str,
) -> None:
    train(small_classes, tmp_path / "run", *classes_overrides, "model.name=resnet8", "model.size=32", *values)
    assert [loader.augmentation.key for loader in recorded_loaders] == [key]
