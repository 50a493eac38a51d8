from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from facekd.route.plan import Growth, Plan
from facekd.route.route import Point, Route
from tests.cli.conftest import RecordedCall

RunCli = Callable[..., int]


@pytest.fixture
def train_calls(record_calls: Callable[..., list[RecordedCall]]) -> list[RecordedCall]:
    """The calls of ``train``, which does not train."""
    return record_calls("facekd.api.train.train")


def write_route(folder: Path) -> Path:
    """A route of 20 points whose weights are empty files."""
    empty = hashlib.sha256(b"").hexdigest()
    points = [Point(i, i, 0.1, "epoch", f"{i}.safetensors", empty) for i in range(1, 21)]
    Route(folder / "route", None, points).write()
    for point in points:
        (folder / "route" / point.file).touch()
    return folder / "route"


def plan_output(run_cli: RunCli, capsys: pytest.CaptureFixture[str], folder: Path, *options: object) -> list[str]:
    """The lines that ``facekd plan`` prints for the route in the folder; it writes ``plan.json`` there."""
    assert run_cli("plan", write_route(folder), folder / "plan.json", *options) == 0
    return capsys.readouterr().out.splitlines()


def test_a_recipe_alone_will_do(run_cli: RunCli, train_calls: list[RecordedCall]) -> None:
    assert run_cli("train", "--recipe", "r.yaml", "seed=3") == 0
    assert train_calls == [(("seed=3",), {"recipe": "r.yaml"})]


def test_a_folder_with_an_equals_sign_is_a_folder(
    run_cli: RunCli, train_calls: list[RecordedCall], tmp_path: Path
) -> None:
    folder = tmp_path / "date=today"
    folder.mkdir()
    assert run_cli("train", folder, "out", "seed=3") == 0
    assert train_calls == [((str(folder), "out", "seed=3"), {"recipe": None})]


def test_one_path_too_many_is_named(run_cli: RunCli, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("train", "faces", "out", "iresnet18") == 2
    assert capsys.readouterr().err == "facekd: at most DATASET OUT and key=value are understood, not iresnet18\n"


def test_a_missing_path_is_named(run_cli: RunCli, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("train", "faces") == 2
    assert "'out' is missing" in capsys.readouterr().err


def test_plan_prints_its_stages(run_cli: RunCli, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert plan_output(run_cli, capsys, tmp_path, "--strategy", "mean", "--anchors", 2) == [
        "stage 0: point 9, 19, 100% of the epochs (the mean of 2 points at equal distance along the 20; epoch 10, 20)",
        f"{tmp_path / 'plan.json'}: written; next: facekd distill DATASET {tmp_path / 'plan.json'} OUT",
    ]


def test_plan_prints_that_a_greedy_plan_grows(
    run_cli: RunCli, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = plan_output(run_cli, capsys, tmp_path, "--strategy", "greedy", "--anchors", 4, "--delta", 0.7)
    assert lines[0].startswith("the stages are chosen while the student is trained")
    assert Plan.read(tmp_path / "plan.json")[0].growth == Growth(0.7, 0.25)


def test_a_manual_plan_takes_points_or_the_stages_of_another_plan(
    run_cli: RunCli, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plan_output(run_cli, capsys, tmp_path, "--strategy", "equal", "--anchors", 4)
    route, rco = tmp_path / "route", tmp_path / "plan.json"
    stages = [stage.points for stage in Plan.read(rco)[0].stages]
    words = ["plan", route, tmp_path / "late.json", "--strategy", "manual"]
    assert run_cli(*words, "--stages", 2, 3, "--of", rco) == 0
    assert [stage.points for stage in Plan.read(tmp_path / "late.json")[0].stages] == stages[2:]
    assert run_cli(*words, "--points", *[points[0] for points in stages[2:]]) == 0
    assert [stage.points for stage in Plan.read(tmp_path / "late.json")[0].stages] == stages[2:]


@pytest.mark.parametrize("options", [
    ("--stages", 1), ("--of", "p.json"), ("--stages", 1, "--of", "p.json", "--points", 3),
])
def test_stages_need_their_plan_and_no_points(
    run_cli: RunCli, capsys: pytest.CaptureFixture[str], options: tuple[object, ...]
) -> None:
    assert run_cli("plan", "route", "plan.json", "--strategy", "manual", *options) == 2
    assert "--stages and --of go together, and replace --points" in capsys.readouterr().err


def test_route_import_passes_on_its_options(
    run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    route = Route.open(write_route(tmp_path))
    calls = record_calls("facekd.api.import_route.import_route", route)
    words = "route import a.pt b.pt out --model iresnet50 --size 64 --normalization cifar10"
    assert run_cli(*words.split()) == 0
    assert calls == [((["a.pt", "b.pt"], "out"), {
        "model": "iresnet50", "size": 64, "normalization": "cifar10", "outputs": None, "images": None,
        "license": None})]
    assert capsys.readouterr().out.startswith(f"{route.folder}: 20 points, license of the teacher: ")


def test_distill_passes_on_paths_and_overrides(
    run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = record_calls("facekd.api.distill.distill")
    assert run_cli("distill", "faces", "plan.json", "out", "method=kd") == 0
    assert calls == [(("faces", "plan.json", "out", "method=kd"), {"recipe": None})]
    assert "facekd eval verify --model run" in capsys.readouterr().out


def test_students_are_listed_of_a_finished_search_only(
    run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = record_calls("facekd.api.search_result.list_students", {"searched": "8/8:8", "uniform": "9/9:9"})
    assert run_cli("search", "out", "--list-students") == 0
    assert (calls, capsys.readouterr().out) == ([(("out",), {})], "searched 8/8:8\nuniform 9/9:9\n")
    assert run_cli("search", "teacher", "out", "--list-students") == 2
    assert "--list-students takes the folder of a finished search" in capsys.readouterr().err


def test_methods_are_listed_with_the_left_out_ones(run_cli: RunCli, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("methods") == 0
    text = capsys.readouterr().out
    assert "dkd" in text and "left out: refo (" in text


def test_a_student_without_a_drawing_is_refused(run_cli: RunCli, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("plan", "route", "plan.json", "--student", "runs/kd") == 2
    assert "--student is compared by --show" in capsys.readouterr().err


@pytest.mark.parametrize(("head", "hint"), [
    ("softmax", "facekd eval cifar --model"), ("arcface", "facekd eval verify"),
])
def test_the_next_command_fits_the_head_of_the_run(
    run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]], capsys: pytest.CaptureFixture[str],
    tmp_path: Path, head: str, hint: str,
) -> None:
    (tmp_path / "recipe.yaml").write_text(f"dataset: d\nplan: p\nout: o\nhead: {{name: {head}}}\n")
    record_calls("facekd.api.distill.distill", tmp_path)
    assert run_cli("distill", "d", "p", "o") == 0
    assert f"next: {hint}" in capsys.readouterr().out


def test_a_training_without_a_route_is_followed_by_no_plan(
    run_cli: RunCli, train_calls: list[RecordedCall], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run_cli("train", "faces", "out") == 0
    assert "facekd plan" not in capsys.readouterr().out
