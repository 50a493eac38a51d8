"""Error rates by group: the threshold of the model, the list, and the result file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facekd.api.evaluate.groups import groups, open_grouped_pairs
from facekd.data.pairs.rfw_bfw import read_rfw
from facekd.errors import DataError
from facekd.io import files
from facekd.run import Run


@pytest.fixture
def group_file(fixtures: Path, tmp_path: Path) -> Path:
    """Groups of the people of the fixtures, by turns."""
    people = sorted(path.name for path in (fixtures / "folder").iterdir() if path.is_dir())
    lines = [f"{person},{'ab'[number % 2]}" for number, person in enumerate(people)]
    (tmp_path / "groups.csv").write_text("\n".join(["identity,group", *lines, ""]))
    return tmp_path / "groups.csv"


def test_the_result_is_written_at_the_threshold_of_the_run(
    fixtures: Path, run: Run, group_file: Path, run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    files.write_json(run.results / "verify-x.json", {"thresholds": {"1e-3": 0.9}, "flip": False})
    words = ("--pairs", fixtures / "pairs.csv", "--images", fixtures / "folder", "--groups", group_file)
    assert run_cli("eval", "groups", "--model", run.path, *words) == 0
    content = json.loads((run.results / "groups-pairs.json").read_text())
    assert (content["kind"], content["threshold"], content["far"], content["flip"]) == ("groups", 0.9, "1e-3", False)
    assert [group["group"] for group in content["groups"]] == ["a", "b"]
    assert "worst ratio of FMR" in capsys.readouterr().out


def test_without_a_threshold_there_is_advice(fixtures: Path, run: Run, group_file: Path) -> None:
    with pytest.raises(DataError, match="no verification result of this model holds a threshold at FAR 1e-3"):
        groups(run.path, fixtures / "pairs.csv", images=fixtures / "folder", group_file=group_file)


def test_a_given_threshold_needs_no_result(fixtures: Path, run: Run, group_file: Path) -> None:
    result = groups(run.path, fixtures / "pairs.csv", images=fixtures / "folder", group_file=group_file, threshold=0.5)
    assert (result.threshold, result.far, result.source) == (0.5, None, "as given")


@pytest.mark.parametrize(("arguments", "message"), [
    ({"threshold": 0.5, "far": "1e-2"}, "--threshold replaces"), ({"threshold": float("nan")}, "--threshold nan"),
    ({"far": "x"}, "'x' is no false accept rate"), ({"flip": False}, "--no-flip has no effect"),
])
def test_arguments_without_sense_or_effect_are_refused(
    fixtures: Path, run: Run, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        groups(run.path, fixtures / "pairs.csv", images=fixtures / "folder", **arguments)


def test_lists_are_told_apart(tmp_path: Path, fixtures: Path) -> None:
    with pytest.raises(DataError, match="is a folder of RFW, which holds images"):
        open_grouped_pairs(tmp_path, tmp_path, None)
    with pytest.raises(DataError, match="needs the folder that its paths start from"):
        open_grouped_pairs(fixtures / "pairs.csv", None, None)
    with pytest.raises(DataError, match="the header lacks group"):
        open_grouped_pairs(fixtures / "pairs.csv", fixtures / "folder", None)
    with pytest.raises(DataError, match="holds no lists of RFW"):
        read_rfw(tmp_path)
