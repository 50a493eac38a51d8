from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from facekd.errors import RouteError
from facekd.io import files
from facekd.io.documents import read_json
from facekd.models.registry import Network, create
from facekd.models.weights import load_model
from facekd.route import route as module
from facekd.route.route import Route


def network(seed: int) -> Network:
    torch.manual_seed(seed)
    return create("iresnet10", size=32, outputs=16, width=0.25)


def record(route: Route, seed: int, step: int) -> None:
    route.record(network(seed), step, step / 10, 0.1, "epoch", {"loss": 1.0})


@pytest.fixture
def route(tmp_path: Path) -> Route:
    route = Route(tmp_path / "route", network(0).spec)
    record(route, 1, 10)
    record(route, 2, 20)
    return route


def test_points_hold_the_weights_of_their_time(route: Route) -> None:
    for number, seed in ((0, 1), (1, 2)):
        loaded, truth = load_model(route.point_file(number)).state_dict(), network(seed).state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in truth.items())


def test_it_opens_by_folder_file_and_run(route: Route) -> None:
    for path in (route.folder, route.folder / "route.json", route.folder.parent):
        opened = Route.open(path)
        assert opened.points == route.points
        assert opened.spec == route.spec
        assert opened.folder == route.folder


def test_points_are_appended_and_never_rewritten(route: Route) -> None:
    before = {file.name: file.read_bytes() for file in route.folder.glob("*.safetensors")}
    points = list(route.points)
    record(route, 3, 30)
    record(route, 9, 20)  # a resumed run repeats this step
    assert route.points[:2] == points
    assert [point.step for point in Route.open(route.folder).points] == [10, 20, 30]
    assert all((route.folder / name).read_bytes() == data for name, data in before.items())


def test_a_kill_between_weights_and_json_leaves_a_valid_route(route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_versioned", kill)
    with pytest.raises(KeyboardInterrupt):
        record(Route.open(route.folder), 3, 30)
    monkeypatch.undo()
    opened = Route.open(route.folder)
    assert [point.step for point in opened.points] == [10, 20]
    assert all(opened.point_file(number).is_file() for number in (0, 1))
    record(opened, 3, 30)
    assert Route.open(route.folder).point_file(2) == route.folder / "point-00000030.safetensors"


def test_a_kill_while_weights_are_written_leaves_a_valid_route(route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(model: Network, path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "save_model", kill)
    with pytest.raises(KeyboardInterrupt):
        record(route, 3, 30)
    assert [point.step for point in Route.open(route.folder).points] == [10, 20]


def test_a_changed_file_is_detected(route: Route) -> None:
    file = route.folder / route.points[1].file
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert route.point_file(0).is_file()
    with pytest.raises(RouteError, match=r"point-00000020\.safetensors is not the file that was recorded"):
        route.point_file(1)


def test_a_missing_file_is_named(route: Route) -> None:
    (route.folder / route.points[0].file).unlink()
    with pytest.raises(RouteError, match=r"point-00000010\.safetensors is missing \(point 0"):
        route.point_file(0)


@pytest.mark.parametrize("number", [-1, 2])
def test_a_point_out_of_range_is_refused(route: Route, number: int) -> None:
    with pytest.raises(RouteError, match=f"no point {number}"):
        route.point_file(number)


def test_a_folder_without_a_route_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RouteError, match=r"no route\.json"):
        Route.open(tmp_path)


def test_a_newer_version_is_refused(route: Route) -> None:
    content = read_json(route.folder / "route.json")
    files.write_json(route.folder / "route.json", {**content, "version": 3})
    with pytest.raises(RouteError, match="newer facekd"):
        Route.open(route.folder)


def test_an_older_version_is_refused(route: Route) -> None:
    content = read_json(route.folder / "route.json")
    files.write_json(route.folder / "route.json", {**content, "version": 1})
    message = r"route\.json: format version 1 was written by an older facekd .*; train or import the teacher again"
    with pytest.raises(RouteError, match=message):
        Route.open(route.folder)


@pytest.mark.parametrize("key", ["model", "points"])
def test_a_damaged_route_is_refused(route: Route, key: str) -> None:
    content = read_json(route.folder / "route.json")
    del content[key]
    files.write_json(route.folder / "route.json", content)
    with pytest.raises(RouteError, match=r"route\.json is damaged"):
        Route.open(route.folder)


def test_a_point_with_foreign_keys_is_refused(route: Route) -> None:
    points = [{**dataclasses.asdict(route.points[0]), "colour": "red"}]
    content = {**read_json(route.folder / "route.json"), "points": points}
    files.write_json(route.folder / "route.json", content)
    with pytest.raises(RouteError, match="damaged"):
        Route.open(route.folder)


def test_a_moved_route_opens(route: Route, tmp_path: Path) -> None:
    shutil.move(route.folder, tmp_path / "elsewhere")
    moved = Route.open(tmp_path / "elsewhere")
    assert moved.point_file(1) == tmp_path / "elsewhere" / "point-00000020.safetensors"


@pytest.mark.parametrize(("key", "value"), [
    ("model", 5), ("model", [1]), ("model", {"name": 3}), ("points", {}), ("points", [5]),
])
def test_a_route_of_another_structure_is_refused(route: Route, key: str, value: object) -> None:
    files.write_json(route.folder / "route.json", {**read_json(route.folder / "route.json"), key: value})
    with pytest.raises(RouteError, match=r"route\.json is damaged: .*; restore it, or train or import"):
        Route.open(route.folder)


@pytest.mark.parametrize(("key", "value"), [
    ("file", 5), ("file", "../../other.safetensors"), ("file", "/etc/passwd"), ("file", "x" * 300), ("file", ""),
    ("step", -1), ("step", "one"), ("epoch", None), ("metrics", {"loss": []}), ("sha256", 5), ("reason", []),
])
def test_a_point_of_another_structure_is_named_with_its_key(route: Route, key: str, value: object) -> None:
    points = [{**dataclasses.asdict(route.points[0]), key: value}]
    files.write_json(route.folder / "route.json", {**read_json(route.folder / "route.json"), "points": points})
    with pytest.raises(RouteError, match=f"route.json is damaged: 'points.0.{key}"):
        Route.open(route.folder)


@pytest.mark.parametrize("path", ["r" * 300, "\0", "x" * 10_000])
def test_a_path_that_cannot_exist_holds_no_route(path: str) -> None:
    with pytest.raises(RouteError, match=r"holds no route\.json"):
        Route.open(path)
