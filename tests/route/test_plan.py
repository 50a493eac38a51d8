from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from facekd.errors import RouteError
from facekd.models.registry import create
from facekd.route.plan import Leg, Plan, make_plan
from facekd.route.route import Point, Route
from facekd.verbs.plan import plan as plan_verb


def make_route(folder: Path, count: int) -> Route:
    points = [Point(10 * (i + 1), i + 1.0, 0.1, "epoch", f"{i}.safetensors", "0" * 64) for i in range(count)]
    route = Route(folder, create("iresnet10", size=32, embedding=16, width=0.25).spec, points)
    route.write()
    return route


@pytest.fixture
def route(tmp_path: Path) -> Route:
    return make_route(tmp_path / "runs" / "teacher" / "route", 10)


def chosen(plan: Plan) -> list[int]:
    return [leg.point for leg in plan.legs]


@pytest.mark.parametrize(("count", "anchors", "points"), [
    (20, 4, [4, 9, 14, 19]), (8, 4, [1, 3, 5, 7]), (10, 1, [9]), (10, 4, [2, 4, 7, 9]), (3, 3, [0, 1, 2]),
    (5, 2, [2, 4]),
])
def test_equal_takes_points_at_equal_distance_up_to_the_end(
    tmp_path: Path, count: int, anchors: int, points: list[int]
) -> None:
    plan = make_plan(make_route(tmp_path, count), "equal", anchors)
    assert chosen(plan) == points
    assert [leg.share for leg in plan.legs] == [1 / anchors] * anchors


@pytest.mark.parametrize("anchors", [1, 4])
def test_final_repeats_the_end(route: Route, anchors: int) -> None:
    assert chosen(make_plan(route, "final", anchors)) == [9] * anchors


def test_manual_takes_what_is_named_in_that_order(route: Route) -> None:
    plan = make_plan(route, "manual", points=[7, 0, 7])
    assert chosen(plan) == [7, 0, 7]
    assert plan.legs[1].why == "chosen by hand; epoch 1"


@pytest.mark.parametrize(("arguments", "message"), [
    (("equal", 11), "11 anchors need as many points.* has 10"), (("equal", 0), "at least 1 anchor, not 0"),
    (("manual", 4, [10]), r"between 0 and 9, not \[10\]"), (("manual", 4, []), "not none"),
    (("manual", 4, [-1]), r"not \[-1\]"), (("best", 4), "unknown strategy 'best'; valid strategies: equal"),
])
def test_what_cannot_be_planned_is_refused(route: Route, arguments: Any, message: str) -> None:
    with pytest.raises(RouteError, match=message):
        make_plan(route, *arguments)


def test_an_empty_route_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RouteError, match="no points yet"):
        make_plan(make_route(tmp_path, 0), "final", 1)


def test_a_plan_is_read_as_it_was_written(route: Route, tmp_path: Path) -> None:
    made = make_plan(route, "equal", 4)
    made.write(tmp_path / "plans" / "rco.json")
    read, opened = Plan.read(tmp_path / "plans" / "rco.json")
    assert (read.strategy, list(read.legs)) == ("equal", list(made.legs))
    assert opened.points == route.points


def test_the_verb_writes_what_it_gives(route: Route, tmp_path: Path) -> None:
    made = plan_verb(route.folder.parent, tmp_path / "plan.json", "manual", points=[3])
    assert list(made.legs) == [Leg(3, "chosen by hand; epoch 4", 1.0)]
    assert list(Plan.read(tmp_path / "plan.json")[0].legs) == list(made.legs)


def test_plan_and_route_can_be_moved_together(route: Route, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_plan(Route.open("runs/teacher"), "final", 1).write(Path("runs/plan.json"))
    shutil.move(tmp_path / "runs", tmp_path / "elsewhere")
    _, opened = Plan.read(tmp_path / "elsewhere" / "plan.json")
    assert opened.folder.resolve() == tmp_path / "elsewhere" / "teacher" / "route"


def edited(made: Route, tmp_path: Path, changes: dict[str, Any]) -> Path:
    path = tmp_path / "plan.json"
    make_plan(made, "equal", 2).write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


def legs(*pairs: tuple[Any, Any]) -> list[dict[str, Any]]:
    return [{"point": point, "why": "", "share": share} for point, share in pairs]


@pytest.mark.parametrize(("changes", "message"), [
    ({"legs": legs((3, 0.5), (10, 0.25), (-1, 0.25))}, "names points -1, 10, the route .* has points 0 to 9"),
    ({"legs": legs((3, 0.5), (4, 0.4))}, r"sum to 1, not 0\.9"),
    ({"legs": legs((3, 1.5), (4, -0.5))}, "positive"),
    ({"legs": legs((3, float("nan")))}, "sum to 1, not nan"),
    ({"legs": []}, "sum to 1, not 0"),
    ({"legs": legs(("third", 1))}, "is damaged"),
    ({"legs": [{"point": 1}]}, "is damaged"),
    ({"legs": None}, "is damaged"),
    ({"version": 2}, "newer facekd"),
    ({"format": "facekd.route"}, "not a plan file"),
    ({"route": "nowhere"}, r"nowhere holds no route\.json"),
])
def test_what_is_wrong_in_an_edited_plan_is_said(
    route: Route, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RouteError, match=message):
        Plan.read(edited(route, tmp_path, changes))


def test_shares_may_be_edited(route: Route, tmp_path: Path) -> None:
    plan, _ = Plan.read(edited(route, tmp_path, {"legs": legs((3, 0.25), (4, 0.75))}))
    assert [leg.share for leg in plan.legs] == [0.25, 0.75]
