from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekd.api.plan import plan as make_plan_file
from facekd.errors import RouteError
from facekd.route.plan import Growth, Plan, PlanStage
from facekd.route.route import Route

HALVES = [PlanStage((4,), "early", 0.5), PlanStage((9,), "late", 0.5)]


@pytest.fixture
def route(make_route: Callable[..., Route]) -> Route:
    return make_route(10)


PLANS = {
    "fixed": (HALVES, None),
    "mean": ([PlanStage((0, 4, 9), "all at once", 1.0)], None),
    "greedy": (HALVES[:1], Growth(0.8, 0.25)),
    "greedy, not begun": ([], Growth(0.8, 0.25)),
    "greedy, thirds": ([PlanStage((p,), "", 1 / 3) for p in (0, 5)], Growth(1.0, 1 / 3)),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_read_as_it_was_written(route: Route, tmp_path: Path, name: str) -> None:
    stages, growth = PLANS[name]
    Plan(route.folder, name, stages, growth).write(tmp_path / "plans" / "plan.json")
    read, opened = Plan.read(tmp_path / "plans" / "plan.json")
    assert (read.strategy, list(read.stages), read.growth) == (name, stages, growth)
    assert opened.points == route.points


def test_the_file_says_in_words_what_it_plans(route: Route, tmp_path: Path) -> None:
    Plan(route.folder, "greedy", HALVES[:1], Growth(0.8, 0.25)).write(tmp_path / "plan.json")
    assert json.loads((tmp_path / "plan.json").read_text()) == {
        "format": "facekd.plan", "version": 3, "route": "runs/teacher/route", "strategy": "greedy",
        "stages": [{"points": [4], "reason": "early", "share": 0.5}], "growth": {"delta": 0.8, "share": 0.25},
    }


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_version_is_refused(route: Route, tmp_path: Path, version: int) -> None:
    content = {
        "format": "facekd.plan", "version": version, "route": "runs/teacher/route", "strategy": "equal",
        "legs": [{"point": 4, "why": "early", "share": 0.5}, {"point": 9, "why": "late", "share": 0.5}],
    }
    (tmp_path / "plan.json").write_text(json.dumps(content))
    message = rf"plan\.json: format version {version} was written by an older facekd .*; make it again by 'facekd plan'"
    with pytest.raises(RouteError, match=message):
        Plan.read(tmp_path / "plan.json")


def test_the_first_points_of_a_plan_that_is_not_begun_are_the_end_of_the_route(route: Route) -> None:
    assert Plan(route.folder, "mean", [PlanStage((0, 4), "", 1.0)]).first_points(route) == (0, 4)
    assert Plan(route.folder, "greedy", [], Growth(0.8, 0.25)).first_points(route) == (9,)


def test_plan_and_route_can_be_moved_together(route: Route, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Plan(Route.open("runs/teacher").folder, "final", [PlanStage((9,), "", 1.0)]).write(Path("runs/plan.json"))
    shutil.move(tmp_path / "runs", tmp_path / "elsewhere")
    _, opened = Plan.read(tmp_path / "elsewhere" / "plan.json")
    assert opened.folder.resolve() == tmp_path / "elsewhere" / "teacher" / "route"


def edited(route: Route, tmp_path: Path, changes: dict[str, Any]) -> Path:
    path = tmp_path / "plan.json"
    Plan(route.folder, "equal", HALVES).write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


def stages(*pairs: tuple[Any, Any]) -> list[dict[str, Any]]:
    return [{"points": points if isinstance(points, list) else [points], "reason": "", "share": share}
            for points, share in pairs]


GROWTH = {"delta": 0.8, "share": 0.25}


@pytest.mark.parametrize(("changes", "message"), [
    ({"stages": stages((3, 0.5), (10, 0.25), ([0, 12], 0.25))}, "names points 10, 12, the route .* has points 0 to 9"),
    ({"stages": stages((3, 0.5), (4, 0.4))}, r"must sum to 1; they sum to 0\.9"),
    ({"stages": stages((3, 1.5), (4, -0.5))}, "a positive share"),
    ({"stages": stages((3, 0), (4, 1))}, "a positive share"),
    ({"stages": stages((3, float("nan")))}, "NaN is no JSON number"),
    ({"stages": stages(([0, -1], 1))}, "'stages.0.points.1': input should be greater than or equal to 0, not -1"),
    ({"stages": stages(([{}], 1))}, "'stages.0.points.0'"),
    ({"stages": stages((3, 1)), "strategy": 5}, "'strategy'"),
    ({"route": True}, "'route': input should be a valid string, not True"),
    ({"route": ""}, "'route': an empty path"),
    ({"route": "r" * 300}, "holds no route"),
    ({"route": "r" * 100_000}, "holds no route"),
    ({"route": "\0"}, "holds no route"),
    ({"stages": []}, "sum to 1; they sum to 0"),
    ({"stages": stages(([], 1))}, "every stage needs points"),
    ({"stages": stages(("third", 1))}, "is damaged"),
    ({"stages": [{"points": [1]}]}, "is damaged"),
    ({"stages": [{"reason": "", "share": 1}]}, "is damaged"),
    ({"stages": None}, "is damaged"),
    ({"growth": GROWTH}, "sum to less than 1, because the plan grows; they sum to 1"),
    ({"stages": stages((3, 0)), "growth": GROWTH}, "a positive share"),
    ({"stages": stages((3, float("nan"))), "growth": GROWTH}, "NaN is no JSON number"),
    ({"stages": stages((3, 0.5)), "growth": {"delta": 0.8}}, "is damaged"),
    ({"stages": stages((3, 0.5)), "growth": {**GROWTH, "speed": 1}}, "is damaged"),
    ({"stages": stages((3, 0.5)), "growth": {**GROWTH, "delta": 1.2}}, r"delta must be in \(0, 1\]"),
    ({"stages": stages((3, 0.5)), "growth": {**GROWTH, "delta": 0}}, r"delta must be in \(0, 1\]"),
    ({"stages": stages((3, 0.5)), "growth": {**GROWTH, "share": 0}}, r"share of a stage in \(0, 1\)"),
    ({"version": 4}, "newer facekd"),
    ({"format": "facekd.route"}, "not a plan file"),
    ({"route": "nowhere"}, r"nowhere holds no route\.json"),
])
def test_a_mistake_in_an_edited_plan_is_refused(
    route: Route, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RouteError, match=message):
        Plan.read(edited(route, tmp_path, changes))


@pytest.mark.parametrize("shares", [(0.25, 0.75), (1 / 3, 2 / 3), (0.1,) * 10])
def test_shares_may_be_edited(route: Route, tmp_path: Path, shares: tuple[float, ...]) -> None:
    plan, _ = Plan.read(edited(route, tmp_path, {"stages": stages(*((3, share) for share in shares))}))
    assert tuple(stage.share for stage in plan.stages) == shares


def test_the_command_writes_what_it_returns(random_route: Route, tmp_path: Path) -> None:
    plan = make_plan_file(random_route.folder, tmp_path / "plan.json", strategy="manual", points=[1])
    assert list(plan.stages) == [PlanStage((1,), "chosen by hand; epoch 2", 1.0)]
    assert list(Plan.read(tmp_path / "plan.json")[0].stages) == list(plan.stages)


def test_the_command_passes_delta_on(random_route: Route, tmp_path: Path) -> None:
    plan = make_plan_file(random_route.folder, tmp_path / "plan.json", strategy="greedy", anchors=5, delta=0.6)
    assert plan.growth == Growth(0.6, 0.2)


def test_the_rotations_of_an_aligned_plan_are_kept_beside_it(route: Route, tmp_path: Path) -> None:
    rotations = {4: np.eye(4, dtype=np.float32)[[1, 0, 2, 3]]}
    Plan(route.folder, "equal", HALVES, rotations=rotations).write(tmp_path / "plan.json")
    assert json.loads((tmp_path / "plan.json").read_text())["aligned"] is True
    read, _ = Plan.read(tmp_path / "plan.json")
    assert (list(read.rotations), read.describe_strategy()) == ([4], "equal, aligned")
    np.testing.assert_array_equal(read.rotations[4], rotations[4])
    read.write(tmp_path / "run" / "plan.json")
    assert Plan.read(tmp_path / "run" / "plan.json")[0].rotations.keys() == {4}
    (tmp_path / "plan.rotations.safetensors").unlink()
    with pytest.raises(RouteError, match=r"plan\.rotations\.safetensors"):
        Plan.read(tmp_path / "plan.json")


def test_an_edited_plan_without_a_rotation_is_refused(route: Route, tmp_path: Path) -> None:
    Plan(route.folder, "equal", [PlanStage((3,), "", 0.5), *HALVES[1:]], rotations={4: np.eye(4, dtype=np.float32)}
         ).write(tmp_path / "plan.json")
    with pytest.raises(RouteError, match="is aligned and has no rotation for points 3; make it again"):
        Plan.read(tmp_path / "plan.json")


def test_rotations_of_another_teacher_are_refused(random_route: Route, tmp_path: Path) -> None:
    rotations = {0: np.eye(3, dtype=np.float32)}
    assert random_route.spec and random_route.spec.outputs != 3
    Plan(random_route.folder, "equal", [PlanStage((0,), "", 1.0)], rotations=rotations).write(tmp_path / "plan.json")
    with pytest.raises(RouteError, match=r"plan\.rotations\.safetensors rotates embeddings of length 3, those of the"):
        Plan.read(tmp_path / "plan.json")
