from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from facekd.config import DistillRecipe
from facekd.errors import ModelError
from facekd.methods.compatibility import compatible_with, explain_space, shared_length
from facekd.methods.objective import parse_objective
from facekd.models.registry import ModelSpec, create
from facekd.route.plan import Plan, PlanStage
from facekd.route.route import Point, Route

ROUTE = Route(Path("/runs/big/route"), ModelSpec("iresnet10", 32, 16),
              [Point(n, float(n), 0.1, "epoch", f"point-{n}.safetensors", f"{n}" * 64) for n in range(3)])


def plan(*stages: tuple[int, ...], rotated: bool = False) -> Plan:
    rotations: dict[int, Any] = {0: torch.eye(16).numpy()} if rotated else {}
    parts = [PlanStage(points, "", 1 / max(1, len(stages))) for points in stages or [(2,)]]
    return Plan(ROUTE.folder, "equal", parts, rotations=rotations)


def recipe(method: str = "cosine", *, head: str = "arcface", losses: Any = None, **student: Any) -> DistillRecipe:
    return DistillRecipe.model_validate({"dataset": "d", "plan": "p", "out": "o", "method": method, "student": student,
                                         "losses": losses or {}, "head": {"name": head}})


def length(given: DistillRecipe) -> int | None:
    objective = parse_objective(given.method, given.losses, given.head.closed_set)
    return shared_length(given, objective, plan(), ROUTE)


@pytest.mark.parametrize("method", ["", "l2", "cosine", "coupleface-ours", "proxyless-ours", "rkd + l2"])
def test_losses_of_embeddings_share_the_space(method: str) -> None:
    assert length(recipe(method)) == 16


@pytest.mark.parametrize(("given", "why"), [
    (recipe("rkd"), "relations"), (recipe("at"), "maps"), (recipe("prokt"), "a teacher that moves"),
    (recipe("kd", head="softmax"), "classes"), (recipe(compatible=False), "not wanted"),
    (recipe("", losses={"l2": {"end": 0.5}, "labels": 1}), "left before the end"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_other_students_share_none(given: DistillRecipe, why: str) -> None:
    assert length(given) is None


def explain(given: DistillRecipe, outputs: int = 16) -> None:
    student = create("iresnet10", size=32, outputs=outputs, width=0.25)
    objective = parse_objective(given.method, given.losses, given.head.closed_set)
    explain_space(student, given, objective, plan(), ROUTE)


@pytest.mark.parametrize(("given", "outputs", "note"), [
    (recipe(), 16, ""), (recipe("kd", head="softmax"), 16, ""),
    (recipe("rkd"), 16, "no term of the loss (rkd, labels) pulls embeddings"),
    (recipe(compatible=False), 8, "its embeddings have 8 numbers, those of the teacher 16 (student.compatible=false)"),
], ids=["cosine", "classes", "relations", "refused"])
def test_a_note_says_that_no_space_is_shared(
    given: DistillRecipe, outputs: int, note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    explain(given, outputs)
    shown = " ".join(capsys.readouterr().err.split())
    assert note in shown if note else shown == ""


@pytest.mark.parametrize(("given", "reason"), [
    (recipe(compatible=False), "student and teacher have embeddings of 16 numbers"),
    (recipe("rkd", compatible=False), "no term of the loss"),
    (recipe("kd", head="softmax", compatible=False), "a softmax head has classes"),
], ids=["equal lengths", "relations", "classes"])
def test_a_refusal_without_effect_is_refused(given: DistillRecipe, reason: str) -> None:
    with pytest.raises(ModelError, match=rf"student\.compatible=false has no effect, because {reason}.*leave it out"):
        explain(given)


def teacher_of(followed: Plan, outputs: int = 16, method: str = "l2") -> dict[str, Any] | None:
    student = create("iresnet10", size=32, outputs=outputs, width=0.25)
    return compatible_with(student, parse_objective(method, {}, False), followed, ROUTE)


def test_the_teacher_is_the_last_anchor() -> None:
    assert teacher_of(plan((0,), (1,))) == {"name": "big/point-1.safetensors", "sha256": "1" * 64, "dimension": 16}


def test_anchors_that_are_rotated_lead_to_the_end_of_the_route() -> None:
    teacher = teacher_of(plan((0,), rotated=True))
    assert teacher and teacher["sha256"] == "2" * 64


def test_no_teacher_has_the_space_of_a_mean_or_of_another_length() -> None:
    assert teacher_of(plan((0, 1, 2))) is None
    assert teacher_of(plan(), outputs=8) is None
    assert teacher_of(plan(), method="rkd") is None
