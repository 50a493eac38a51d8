"""``teach`` on a closed set: the head is the network's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facekd.api.train import teach
from facekd.data.containers.class_set import open_classes
from facekd.data.image_set import withhold
from facekd.data.loading.loader import Loader
from facekd.errors import DataError
from facekd.models.weights import load_model
from facekd.route.route import Route
from facekd.run import Run
from facekd.training.trainer import Trainer


def test_a_classifier_has_an_output_a_class(taught_classes: Path, small_classes: Path) -> None:
    network = load_model(taught_classes / "model.safetensors")
    assert (network.spec.name, network.spec.outputs) == ("resnet14", 4)
    info = Run(taught_classes).info()
    images = withhold(open_classes(small_classes, "train"), 0.1)[0]
    assert info["faces"] == {"content": images.fingerprint().content, "classes": 4, "images": 36}


def test_it_learns_its_images(taught_classes: Path, small_classes: Path) -> None:
    images, network = open_classes(small_classes, "train"), load_model(taught_classes / "model.safetensors")
    pixels = torch.stack([torch.from_numpy(images.pixels(i)) for i in range(len(images))])
    with torch.no_grad():
        found = network(network.inputs(pixels)).argmax(dim=1)
    assert float((found == torch.from_numpy(images.labels)).float().mean()) > 0.5


def test_its_route_has_the_ends_of_the_plateaus(taught_classes: Path) -> None:
    points = Route.open(taught_classes).points
    assert [(p.step, p.reason) for p in points] == [
        (6, "epoch"), (12, "before drop"), (18, "epoch"), (19, "before drop"), (24, "last")]


def test_only_the_first_classes_are_taught_where_asked(
    small_classes: Path, classes_recipe: tuple[str, ...], tmp_path: Path
) -> None:
    values = (*classes_recipe, "model.name=resnet8", "model.size=32", "schedule.epochs=0.2", "data.classes=3")
    run = teach(small_classes, tmp_path / "run", *values)
    assert load_model(run / "model.safetensors").spec.outputs == 3
    assert Run(run).info()["faces"]["images"] == 27


def test_more_classes_than_there_are_are_refused(
    small_classes: Path, classes_recipe: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="has 4 classes, not 5"):
        teach(small_classes, tmp_path / "run", *classes_recipe, "data.classes=5")


def loaders(monkeypatch: pytest.MonkeyPatch) -> list[Loader]:
    """Those that training was to be done with; nothing is trained."""
    found: list[Loader] = []
    monkeypatch.setattr(Trainer, "fit", lambda self: found.append(self.loader))
    return found


@pytest.mark.parametrize(("values", "key"), [
    ([], "crop4-seed0"), (["data.views.padding=2", "data.views.seed=3"], "crop2-seed3"),
    (["data.views.kind=flip"], "flip"), (["data.views.kind=plain"], "plain"),
    (["data.views={kind: resized-crop, seed: 1}"], "resized-crop-seed1"),
])
def test_a_classifier_is_shown_crops_unless_told_otherwise(
    small_classes: Path, classes_recipe: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    values: list[str], key: str,
) -> None:
    found = loaders(monkeypatch)
    teach(small_classes, tmp_path / "run", *classes_recipe, "model.name=resnet8", "model.size=32", *values)
    assert [loader.augmentation.key for loader in found] == [key]
