"""Plans as files, and the profile of a route against the networks of its points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from facekd.api.distill import distill
from facekd.api.plan import plan, show_plan, stage_points
from facekd.data.containers.class_set import open_class_set
from facekd.data.image_set import split_validation
from facekd.errors import RouteError
from facekd.models.weights import load_model
from facekd.route.plan import Plan
from facekd.route.route import Route


def test_a_plan_is_written_as_it_is_returned(teacher_run: Path, tmp_path: Path) -> None:
    chosen = plan(teacher_run, tmp_path / "plan.json", strategy="manual", points=[1, 4])
    assert [stage.points for stage in chosen.stages] == [(1,), (4,)]
    assert list(Plan.read(tmp_path / "plan.json")[0].stages) == list(chosen.stages)


def test_the_points_of_stages_make_a_part_of_a_plan(teacher_run: Path, tmp_path: Path) -> None:
    rco = plan(teacher_run, tmp_path / "rco.json", anchors=3)
    points = stage_points(tmp_path / "rco.json", [1, 2])
    assert [(point,) for point in points] == [stage.points for stage in rco.stages[1:]]


@pytest.mark.parametrize(("strategy", "stage", "message"), [
    ("equal", 2, "has no stage 2; it has the stages 0 to 1"), ("equal", -1, "has no stage -1"),
    ("mean", 0, "stage 0 of .* follows the mean of several points"),
])
def test_a_stage_without_one_point_is_refused(
    teacher_run: Path, tmp_path: Path, strategy: str, stage: int, message: str
) -> None:
    plan(teacher_run, tmp_path / "plan.json", strategy=strategy, anchors=2)
    with pytest.raises(RouteError, match=message):
        stage_points(tmp_path / "plan.json", [stage])


def test_a_routes_profile_is_what_its_networks_say(
    classifier_run: Path, small_classes: Path, classes_overrides: tuple[str, ...], tmp_path: Path
) -> None:
    plan(classifier_run, tmp_path / "plan.json", anchors=2)
    student = distill(small_classes, tmp_path / "plan.json", tmp_path / "student", *classes_overrides,
                      "student={name: resnet8, size: 32}")
    profiles, picture = show_plan(tmp_path / "plan.json", student)
    route = Route.open(classifier_run)
    assert [(profile.number, profile.point) for profile in profiles] == list(enumerate(route.points))

    images = split_validation(open_class_set(small_classes, "train"), 0.1)[1]
    crops = torch.from_numpy(np.stack([images.pixels(i) for i in range(len(images))]))

    def logits(file: Path) -> torch.Tensor:
        network = load_model(file)
        with torch.no_grad():
            return torch.as_tensor(network(network.preprocess(crops))).double()

    def congruence(student: torch.Tensor, teacher: torch.Tensor) -> float:
        target = F.softmax(teacher / 4, 1)
        return float((target * (target.log() - F.log_softmax(student / 4, 1))).sum(1).mean())

    of_student, of_end = logits(student / "model.safetensors"), logits(route.point_file(len(profiles) - 1))
    for profile in profiles:
        of_point = logits(route.point_file(profile.number))
        accuracy = float((of_point.argmax(1).numpy() == images.labels).mean())
        assert profile.accuracy == pytest.approx(accuracy)
        assert profile.congruence_to_end == pytest.approx(congruence(of_point, of_end), rel=1e-3, abs=1e-6)
        assert profile.congruence_to_student == pytest.approx(congruence(of_student, of_point), rel=1e-3, abs=1e-6)
    assert profiles[-1].congruence_to_end == pytest.approx(0, abs=1e-6)
    text = picture.read_text(encoding="utf-8")
    assert all(word in text for word in ("learning rate", "accuracy", "with the end", "of the student"))


def test_without_a_recipe_a_profile_has_the_recorded_facts_only(teacher_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "imported"
    folder.mkdir()
    (folder / "route.json").write_bytes((teacher_run / "route" / "route.json").read_bytes())
    plan(folder, tmp_path / "plan.json", anchors=2)
    profiles, picture = show_plan(tmp_path / "plan.json")
    assert all(profile.accuracy is None and profile.congruence_to_end is None for profile in profiles)
    assert all(profile.congruence_to_student is None for profile in profiles)
    assert "congruence" not in picture.read_text(encoding="utf-8")


def test_a_teacher_without_held_out_images_is_shown_on_training_images(teacher_run: Path, tmp_path: Path) -> None:
    plan(teacher_run, tmp_path / "plan.json", strategy="final", anchors=1)
    profiles, _ = show_plan(tmp_path / "plan.json")
    assert all(profile.accuracy is None for profile in profiles)  # faces have no accuracy
    assert all(profile.congruence_to_end is not None for profile in profiles)
    assert profiles[0].congruence_to_end > profiles[-1].congruence_to_end == pytest.approx(0, abs=1e-6)  # type: ignore[operator]
