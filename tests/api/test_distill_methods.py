"""``distill`` by online methods, and by losses with a pretraining or a warm-up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from facekd.api.distill import distill
from facekd.api.plan import plan
from facekd.errors import ModelError, RecipeError, RouteError
from facekd.route.route import Route
from facekd.run import Run

STUDENT = (
    "student={name: resnet8, size: 32, embedding: 16, options: {width: 0.5}}", "head.scale=16", "training.batch_size=8",
    "training.learning_rate=0.05", "machine.device=cpu", "machine.threads=1",
)
"""Six steps an epoch."""
Kill = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def final_plan(teacher_run: Path, tmp_path: Path) -> Path:
    """A plan whose only anchor is the trained teacher."""
    plan(teacher_run, tmp_path / "final.json", strategy="final", anchors=1)
    return tmp_path / "final.json"


def weights(file: Path) -> dict[str, Tensor]:
    """The trained weights of a file, without the statistics of batch norms."""
    return {name: value for name, value in load_file(file).items()
            if name.endswith(("weight", "bias"))}


def max_difference(file: Path, other_file: Path) -> float:
    """The largest difference between two weights of the same name."""
    other = weights(other_file)
    return max(float((value - other[name]).abs().max()) for name, value in weights(file).items())


@pytest.mark.parametrize("fresh", [True, False])
def test_a_joint_teacher_starts_with_random_weights_or_with_those_of_the_point(
    small_faces: Path, teacher_run: Path, final_plan: Path, tmp_path: Path, fresh: bool
) -> None:
    no_training = ("training.epochs=0.17", "training.learning_rate=1e-9", "teacher_cache=off")
    values = (*STUDENT, *no_training, "method=prokt", f"joint_teacher.fresh={fresh}")
    run = distill(small_faces, final_plan, tmp_path / "run", *values)
    route = Route.open(teacher_run)
    difference = max_difference(run / "joint_teacher.safetensors", route.point_file(len(route.points) - 1))
    assert difference > 0.01 if fresh else difference < 1e-6


@pytest.mark.parametrize(("method", "strategy"), [("prokt", "equal"), ("dml", "mean"), ("prokt", "greedy")])
def test_a_plan_with_other_anchors_is_refused_in_one_sentence(
    small_faces: Path, teacher_run: Path, tmp_path: Path, method: str, strategy: str
) -> None:
    plan(teacher_run, tmp_path / "plan.json", strategy=strategy, anchors=2)
    with pytest.raises(RouteError) as error:
        distill(small_faces, tmp_path / "plan.json", tmp_path / "run", *STUDENT, f"method={method}")
    assert str(error.value) == (f"{method} trains its teacher itself and follows no further anchors: "
                                "plan with --strategy final")


def test_a_joint_teacher_is_trained_and_restarted_with_its_student(
    small_faces: Path, teacher_run: Path, tmp_path: Path
) -> None:
    plan(teacher_run, tmp_path / "restarts.json", strategy="final", anchors=2)
    run = distill(small_faces, tmp_path / "restarts.json", tmp_path / "run", *STUDENT, "training.epochs=2",
                  "method=dml + rkd")
    lines = Run(run).read_log()
    assert [(line["step"], line["stage"]) for line in lines] == [(6, 0), (12, 1)]
    names = {"cosine", "rkd", "labels"}
    assert all({*names, *(f"teacher.{name}" for name in names)} < set(line) for line in lines)
    assert lines[-1]["teacher.labels"] < lines[0]["teacher.labels"]


@pytest.mark.parametrize(("method", "step"), [("prokt", 15), ("dml", 16)])
def test_a_run_killed_in_either_optimizer_pass_continues_to_the_same_bytes(
    small_faces: Path, final_plan: Path, tmp_path: Path, kill_at_step: Kill, method: str, step: int
) -> None:
    values = (*STUDENT, "training.epochs=1.5", f"method={method}", "joint_teacher.mode=dual",
              "joint_teacher.epsilon=0.1", "joint_teacher.dual_lr=0.5", "student.embedding=8")
    whole = distill(small_faces, final_plan, tmp_path / "whole", *values)
    with kill_at_step(step):  # the teacher's or the student's step of the second batch after the checkpoint
        distill(small_faces, final_plan, tmp_path / "killed", *values)
    continued = distill(small_faces, final_plan, tmp_path / "killed", *values)
    for name in ("model.safetensors", "joint_teacher.safetensors"):
        assert (whole / name).read_bytes() == (continued / name).read_bytes()


def test_a_run_killed_after_pretraining_continues_to_the_same_bytes(
    small_faces: Path, final_plan: Path, tmp_path: Path, kill_at_step: Kill
) -> None:
    values = (*STUDENT, "training.epochs=1.5", "training.clip_grad_norm=0.5",
              "losses={ft: {weight: 500, pretrain_epochs: 0.6}}")
    whole = distill(small_faces, final_plan, tmp_path / "whole", *values)
    with kill_at_step(4 + 8):  # four steps of pretraining and eight of the student
        distill(small_faces, final_plan, tmp_path / "killed", *values)
    continued = distill(small_faces, final_plan, tmp_path / "killed", *values)
    assert (whole / "model.safetensors").read_bytes() == (continued / "model.safetensors").read_bytes()


def test_a_warmup_of_a_loss_comes_before_the_labels(small_faces: Path, final_plan: Path, tmp_path: Path) -> None:
    run = distill(small_faces, final_plan, tmp_path / "run", *STUDENT, "training.epochs=2", "method=ab")
    first, second = Run(run).read_log()
    assert {"ab", "labels"} < set(first)  # two steps of one, and four of the other
    assert "labels" in second and "ab" not in second


def test_an_unknown_method_is_refused_with_the_nearest(small_faces: Path, final_plan: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown method 'prokd': did you mean 'prokt'"):
        distill(small_faces, final_plan, tmp_path / "run", *STUDENT, "method=prokd")


@pytest.mark.parametrize("key", ["feature_layers.teacher=[layer1]", "joint_teacher.student_weight=0.5"])
def test_settings_without_an_effect_are_refused(small_faces: Path, final_plan: Path, tmp_path: Path, key: str) -> None:
    with pytest.raises(ModelError, match=f"^{key.partition('.')[0]} (are|is) set, and no"):
        distill(small_faces, final_plan, tmp_path / "run", *STUDENT, key)
