"""``facekd plan --show``: what is told about a route, against the networks of its points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from facekd.api.distill import distill
from facekd.api.plan import plan, show
from facekd.data.containers.class_set import open_classes
from facekd.data.image_set import withhold
from facekd.models.weights import load_model
from facekd.route.route import Route


def test_a_routes_profile_is_what_its_networks_say(
    taught_classes: Path, small_classes: Path, classes_recipe: tuple[str, ...], tmp_path: Path
) -> None:
    plan(taught_classes, tmp_path / "plan.json", anchors=2)
    student = distill(small_classes, tmp_path / "plan.json", tmp_path / "student", *classes_recipe,
                      "student={name: resnet8, size: 32}")
    places, picture = show(tmp_path / "plan.json", student)
    route = Route.open(taught_classes)
    assert [(place.number, place.point) for place in places] == list(enumerate(route.points))

    images = withhold(open_classes(small_classes, "train"), 0.1)[1]
    crops = torch.from_numpy(np.stack([images.pixels(i) for i in range(len(images))]))

    def logits(file: Path) -> torch.Tensor:
        network = load_model(file)
        with torch.no_grad():
            return torch.as_tensor(network(network.inputs(crops))).double()

    own, end = logits(student / "model.safetensors"), logits(route.point_file(len(places) - 1))
    for place in places:
        here = logits(route.point_file(place.number))
        assert place.accuracy == pytest.approx(float((here.argmax(1).numpy() == images.labels).mean()))
        for found, follower, followed in ((place.to_end, here, end), (place.to_student, own, here)):
            target = F.softmax(followed / 4, 1)
            truth = (target * (target.log() - F.log_softmax(follower / 4, 1))).sum(1).mean()
            assert found == pytest.approx(float(truth), rel=1e-3, abs=1e-6)
    assert places[-1].to_end == pytest.approx(0, abs=1e-6)
    text = picture.read_text(encoding="utf-8")
    assert all(word in text for word in ("learning rate", "accuracy", "with the end", "of the student"))


def test_without_a_recipe_only_what_was_recorded_is_told(taught: Path, tmp_path: Path) -> None:
    folder = tmp_path / "imported"
    folder.mkdir()
    (folder / "route.json").write_bytes((taught / "route" / "route.json").read_bytes())
    plan(folder, tmp_path / "plan.json", anchors=2)
    places, picture = show(tmp_path / "plan.json")
    assert {(place.accuracy, place.to_end, place.to_student) for place in places} == {(None, None, None)}
    assert "congruence" not in picture.read_text(encoding="utf-8")


def test_a_teacher_that_withheld_nothing_is_shown_on_training_images(taught: Path, tmp_path: Path) -> None:
    plan(taught, tmp_path / "plan.json", strategy="final", anchors=1)
    places, _ = show(tmp_path / "plan.json")
    assert all(place.accuracy is None and place.to_end is not None for place in places)  # faces have no accuracy here
    assert places[0].to_end > places[-1].to_end == pytest.approx(0, abs=1e-6)  # type: ignore[operator]
