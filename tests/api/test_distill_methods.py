"""``distill`` by methods whose teacher moves, and by those with a first stage to themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from facekd.api.distill import distill
from facekd.api.plan import plan
from facekd.errors import ModelError, RouteError
from facekd.route.route import Route
from facekd.run import Run

STUDENT = (
    "student={name: resnet8, size: 32, embedding: 16, options: {width: 0.5}}", "head.scale=16", "schedule.batch=8",
    "schedule.learning_rate=0.05", "machine.device=cpu", "machine.threads=1",
)
"""Six steps an epoch."""
Kill = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def final(taught: Path, tmp_path: Path) -> Path:
    plan(taught, tmp_path / "final.json", "final", 1)
    return tmp_path / "final.json"


def weights(file: Path) -> dict[str, Tensor]:
    """The trained ones, without the statistics of batch norms."""
    return {name: value for name, value in load_file(file).items()
            if name.endswith(("weight", "bias"))}


def distance(one: Path, other: Path) -> float:
    first, second = weights(one), weights(other)
    return max(float((value - second[name]).abs().max()) for name, value in first.items())


@pytest.mark.parametrize("fresh", [True, False])
def test_a_partner_begins_fresh_or_with_the_points_weights(
    small_faces: Path, taught: Path, final: Path, tmp_path: Path, fresh: bool
) -> None:
    still = ("schedule.epochs=0.17", "schedule.learning_rate=1e-9", "cache=off")
    run = distill(small_faces, final, tmp_path / "run", *STUDENT, *still, "method=prokt", f"partner.fresh={fresh}")
    route = Route.open(taught)
    moved = distance(run / "partner.safetensors", route.point_file(len(route.points) - 1))
    assert moved > 0.01 if fresh else moved < 1e-6


@pytest.mark.parametrize(("method", "strategy"), [("prokt", "equal"), ("dml", "mean"), ("prokt", "greedy")])
def test_a_plan_with_other_anchors_is_refused_in_one_sentence(
    small_faces: Path, taught: Path, tmp_path: Path, method: str, strategy: str
) -> None:
    plan(taught, tmp_path / "plan.json", strategy, 2)
    with pytest.raises(RouteError) as error:
        distill(small_faces, tmp_path / "plan.json", tmp_path / "run", *STUDENT, f"method={method}")
    assert str(error.value) == (f"{method} moves its teacher by itself, and has no further anchors to go to: "
                                "plan with --strategy final")


def test_a_partner_is_trained_and_restarted_with_its_student(small_faces: Path, taught: Path, tmp_path: Path) -> None:
    plan(taught, tmp_path / "restarts.json", "final", 2)
    run = distill(small_faces, tmp_path / "restarts.json", tmp_path / "run", *STUDENT, "schedule.epochs=2",
                  "method=dml + rkd")
    lines = Run(run).read_log()
    assert [(line["step"], line["stage"]) for line in lines] == [(6, 0), (12, 1)]
    names = {"cosine", "rkd", "labels"}
    assert all({*names, *(f"teacher.{name}" for name in names)} < set(line) for line in lines)
    assert lines[-1]["teacher.labels"] < lines[0]["teacher.labels"]


@pytest.mark.parametrize(("method", "step"), [("prokt", 15), ("dml", 16)])
def test_a_run_killed_in_either_turn_goes_on_as_if_nothing_had_happened(
    small_faces: Path, final: Path, tmp_path: Path, kill_at_step: Kill, method: str, step: int
) -> None:
    values = (*STUDENT, "schedule.epochs=1.5", f"method={method}", "partner.mode=dual", "partner.slack=0.1",
              "partner.step=0.5", "student.embedding=8")
    whole = distill(small_faces, final, tmp_path / "whole", *values)
    with kill_at_step(step):  # the teacher's or the student's step of the second batch after the checkpoint
        distill(small_faces, final, tmp_path / "killed", *values)
    continued = distill(small_faces, final, tmp_path / "killed", *values)
    for name in ("model.safetensors", "partner.safetensors"):
        assert (whole / name).read_bytes() == (continued / name).read_bytes()


def test_a_run_killed_after_lessons_goes_on_as_if_nothing_had_happened(
    small_faces: Path, final: Path, tmp_path: Path, kill_at_step: Kill
) -> None:
    values = (*STUDENT, "schedule.epochs=1.5", "schedule.clip=0.5", "losses={ft: {weight: 500, lessons: 0.6}}")
    whole = distill(small_faces, final, tmp_path / "whole", *values)
    with kill_at_step(4 + 8):  # four steps of lessons and eight of the student
        distill(small_faces, final, tmp_path / "killed", *values)
    continued = distill(small_faces, final, tmp_path / "killed", *values)
    assert (whole / "model.safetensors").read_bytes() == (continued / "model.safetensors").read_bytes()


def test_a_first_stage_is_left_for_the_labels(small_faces: Path, final: Path, tmp_path: Path) -> None:
    run = distill(small_faces, final, tmp_path / "run", *STUDENT, "schedule.epochs=2", "method=ab")
    first, second = Run(run).read_log()
    assert {"ab", "labels"} < set(first)  # two steps of one, and four of the other
    assert "labels" in second and "ab" not in second


def test_a_method_is_not_known(small_faces: Path, final: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="unknown method 'prokd': did you mean 'prokt'"):
        distill(small_faces, final, tmp_path / "run", *STUDENT, "method=prokd")


@pytest.mark.parametrize("key", ["taps.teacher=[layer1]", "partner.pull=0.5"])
def test_settings_that_nothing_heeds_are_refused(small_faces: Path, final: Path, tmp_path: Path, key: str) -> None:
    with pytest.raises(ModelError, match=f"^{key.partition('.')[0]} (are|is) set, and no"):
        distill(small_faces, final, tmp_path / "run", *STUDENT, key)
