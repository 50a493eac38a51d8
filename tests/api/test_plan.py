"""Plans as files, and the profile of a route against the networks of its points."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from facekd.api.distill import distill
from facekd.api.plan import plan, show_plan, stage_points
from facekd.cli.train import DEFAULT_STRATEGY, STRATEGY_HELP
from facekd.data.containers.class_set import open_class_set
from facekd.data.image_set import split_validation
from facekd.errors import RouteError
from facekd.models.weights import load_model
from facekd.reporting.run_data import load_run_data
from facekd.route.plan import Plan
from facekd.route.route import Route
from facekd.route.strategies import MEASURED_STRATEGIES, STRATEGIES


def test_the_help_has_a_line_on_every_strategy() -> None:
    assert set(STRATEGY_HELP) == {*STRATEGIES, *MEASURED_STRATEGIES, "greedy", "manual"}
    assert STRATEGY_HELP[DEFAULT_STRATEGY].endswith("(default)")
    assert inspect.signature(plan).parameters["strategy"].default == DEFAULT_STRATEGY


def test_a_plan_is_written_as_it_is_returned(teacher_run: Path, tmp_path: Path) -> None:
    chosen = plan(teacher_run, tmp_path / "plan.json", strategy="manual", points=[1, 4])
    assert [stage.points for stage in chosen.stages] == [(1,), (4,)]
    assert list(Plan.read(tmp_path / "plan.json")[0].stages) == list(chosen.stages)


def test_the_points_of_stages_make_a_part_of_a_plan(teacher_run: Path, tmp_path: Path) -> None:
    rco = plan(teacher_run, tmp_path / "rco.json", strategy="equal", anchors=3)
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
    plan(classifier_run, tmp_path / "plan.json", strategy="equal", anchors=2)
    student = distill(small_classes, tmp_path / "plan.json", tmp_path / "student", *classes_overrides,
                      "student={name: resnet8, size: 32}")
    profiles, picture, diagnosis = show_plan(tmp_path / "plan.json", student)
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
        assert (profile.metric, profile.metric_name) == (pytest.approx(accuracy), "accuracy")
        assert profile.congruence_to_end == pytest.approx(congruence(of_point, of_end), rel=1e-3, abs=1e-6)
        assert profile.congruence_to_student == pytest.approx(congruence(of_student, of_point), rel=1e-3, abs=1e-6)
    assert profiles[-1].congruence_to_end == pytest.approx(0, abs=1e-6)
    assert diagnosis is not None and diagnosis.images == len(images)
    assert load_run_data(student).diagnosis == diagnosis.describe()
    assert diagnosis.end_loss == pytest.approx(profiles[-1].congruence_to_student)
    losses = [congruence(of_student, logits(route.point_file(number))) for number in range(len(profiles) - 1)]
    assert (diagnosis.nearest_point, diagnosis.nearest_loss) == (
        int(np.argmin(losses)), pytest.approx(min(losses), rel=1e-3, abs=1e-6))
    text = picture.read_text(encoding="utf-8")
    assert all(word in text for word in ("learning rate", "accuracy", "with the end", "of the student"))


@pytest.fixture
def imported_route(teacher_run: Path, tmp_path: Path) -> Path:
    """A route without a run."""
    return shutil.copytree(teacher_run / "route", tmp_path / "imported", ignore=shutil.ignore_patterns("cache"))


@pytest.mark.parametrize("damage", ["missing", "changed"])
@pytest.mark.parametrize("strategy", ["equal", "greedy"])
def test_a_damaged_point_is_named_at_once(imported_route: Path, tmp_path: Path, damage: str, strategy: str) -> None:
    file = imported_route / Route.open(imported_route).points[4].file
    file.unlink() if damage == "missing" else file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RouteError, match=rf"{file.name} is (missing|not the file that was recorded)"):
        plan(imported_route, tmp_path / "plan.json", strategy=strategy, anchors=2)
    assert not (tmp_path / "plan.json").exists()


def test_a_damaged_point_that_a_plan_does_not_use_is_no_matter(imported_route: Path, tmp_path: Path) -> None:
    (imported_route / Route.open(imported_route).points[0].file).unlink()
    plan(imported_route, tmp_path / "plan.json", strategy="final", anchors=1)


@pytest.mark.parametrize("strategy", ["progress", "change"])
def test_a_measured_plan_follows_from_the_profile(classifier_run: Path, tmp_path: Path, strategy: str) -> None:
    chosen = plan(classifier_run, tmp_path / "plan.json", strategy=strategy, anchors=3)
    profiles, _, diagnosis = show_plan(tmp_path / "plan.json")
    if strategy == "progress":
        values = [profile.metric or 0.0 for profile in profiles]
    else:
        values = [profile.net_change or 0.0 for profile in profiles]
    shares = [(value - values[0]) / (values[-1] - values[0]) for value in values]
    crossings = {min(point for point, share in enumerate(shares) if share >= part - 1e-9) for part in (1 / 3, 2 / 3)}
    assert [stage.points for stage in chosen.stages] == [(n,) for n in sorted({*crossings, len(profiles) - 1})]
    assert diagnosis is None


@pytest.mark.parametrize("strategy", ["progress", "change"])
def test_a_route_without_a_recipe_cannot_be_measured(imported_route: Path, tmp_path: Path, strategy: str) -> None:
    with pytest.raises(RouteError, match=f"'{strategy}' measures the teacher.*use --strategy equal, final"):
        plan(imported_route, tmp_path / "plan.json", strategy=strategy)
    assert not (tmp_path / "plan.json").exists()


def test_without_a_recipe_a_profile_has_the_recorded_facts_only(imported_route: Path, tmp_path: Path) -> None:
    plan(imported_route, tmp_path / "plan.json", strategy="equal", anchors=2)
    profiles, picture, diagnosis = show_plan(tmp_path / "plan.json")
    assert diagnosis is None
    assert all(profile.metric is None and profile.congruence_to_end is None for profile in profiles)
    assert all(profile.congruence_to_student is None for profile in profiles)
    assert "congruence" not in picture.read_text(encoding="utf-8")


def test_a_teacher_without_held_out_images_is_shown_on_training_images(teacher_run: Path, tmp_path: Path) -> None:
    plan(teacher_run, tmp_path / "plan.json", strategy="final", anchors=1)
    student = tmp_path / "student"
    student.mkdir()
    shutil.copy(teacher_run / "model.safetensors", student)
    profiles, _, diagnosis = show_plan(tmp_path / "plan.json", student)
    assert {profile.metric_name for profile in profiles} == {"AUC"}
    assert all(profile.metric is not None and 0 <= profile.metric <= 1 for profile in profiles)
    assert diagnosis is not None and not diagnosis.premise_holds  # the student is the end itself
    assert diagnosis.end_loss == pytest.approx(0, abs=1e-6)
    assert diagnosis.images == 16  # two of each identity
    assert all(profile.congruence_to_end is not None for profile in profiles)
    assert profiles[0].congruence_to_end > profiles[-1].congruence_to_end == pytest.approx(0, abs=1e-6)  # type: ignore[operator]


@pytest.mark.parametrize(("options", "message"), [
    ({"points": [1]}, "--points name the anchors of --strategy manual, and the strategy is progress"),
    ({"strategy": "greedy", "points": [1]}, "--points name the anchors of --strategy manual"),
    ({"delta": 0.5}, "--delta is an option of --strategy greedy"),
    ({"strategy": "manual", "points": [1], "delta": 0.5}, "--delta is an option of --strategy greedy"),
    ({"strategy": "manual", "points": [1], "anchors": 3}, "--anchors has no effect on --strategy manual"),
    ({"strategy": "plateau", "anchors": 3}, "--anchors has no effect on --strategy plateau"),
    ({"strategy": "manual", "points": [1, 0]}, "from early to late, not 1, 0; give them in rising order"),
])
def test_an_option_without_its_strategy_is_refused_before_the_work(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RouteError, match=message):
        plan(tmp_path / "no route", tmp_path / "plan.json", **options)
