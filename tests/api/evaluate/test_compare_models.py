from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekd.api.evaluate.compare_models import compare_models
from facekd.api.evaluate.megaface import megaface
from facekd.data.features.opening import write_features
from facekd.errors import DataError


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A folder with the results a.json and b.json of two models on the same probes and distractors."""
    labels = np.repeat(np.arange(8), 3)
    for seed, name in enumerate("ab"):
        generator = np.random.default_rng(seed)
        probes = generator.normal(size=(8, 16))[labels] + 0.5 * generator.normal(size=(24, 16))
        write_features(tmp_path / f"{name}p.npy", probes.astype(np.float32), labels)
        write_features(tmp_path / f"{name}d.npy", generator.normal(size=(50, 16)).astype(np.float32))
        megaface(None, tmp_path / f"{name}p.npy", tmp_path / f"{name}d.npy", json=tmp_path / f"{name}.json")
    return tmp_path


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_two_models_are_compared_by_their_result_files(
    measured: Path, run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("eval", "megaface", "--compare", measured / "a.json", measured / "b.json") == 0
    assert "rank-1: " in capsys.readouterr().out
    differences = compare_models(measured / "a.json", measured / "b.json")
    assert [difference.metric for difference in differences] == ["rank-1", "TAR at FAR 1e-2", "TAR at FAR 1e-3"]


def test_a_result_across_models_is_named_so(measured: Path) -> None:
    change(measured / "b.json", across=True)
    names = [difference.metric for difference in compare_models(measured / "a.json", measured / "b.json")]
    assert names[0] == "rank-1, across models"


def test_one_result_is_not_compared_with_itself(measured: Path) -> None:
    with pytest.raises(DataError, match=r"a\.json is given twice; give two results"):
        compare_models(measured / "a.json", measured / ".." / measured.name / "a.json")


def test_results_of_different_tests_are_refused(measured: Path) -> None:
    megaface(None, measured / "ap.npy", measured / "bd.npy", json=measured / "c.json")
    write_features(measured / "few.npy", np.eye(16, dtype=np.float32))
    megaface(None, measured / "ap.npy", measured / "few.npy", json=measured / "d.json")
    compare_models(measured / "a.json", measured / "c.json")
    with pytest.raises(DataError, match="the two results are of different tests"):
        compare_models(measured / "a.json", measured / "d.json")


def test_results_of_two_noise_modes_are_refused(measured: Path) -> None:
    change(measured / "b.json", noise_mode="strict")
    with pytest.raises(DataError, match=r"different tests \(noise modes 'raw' and 'strict'\)"):
        compare_models(measured / "a.json", measured / "b.json")


def test_what_is_no_result_is_not_compared(measured: Path) -> None:
    (measured / "x.json").write_text("{}")
    with pytest.raises(DataError, match="is no result of 'facekd eval megaface'"):
        compare_models(measured / "a.json", measured / "x.json")


@pytest.mark.parametrize(("key", "value"), [
    ("rank1", "high"), ("rank1", None), ("rank1", True), ("rank1", 2), ("rank1", [0.5]), ("tar", 3), ("tar", []),
    ("tar", {"1e-2": "x"}), ("tar", {"1e-2": {}}), ("tar", {"1e-9999999": 0.5}), ("tar", {"nan": 0.5}),
    ("tar", {"9" * 50: 0.5}), ("tar", {"": 0.5}),
])
def test_a_result_of_another_structure_is_one_sentence(measured: Path, key: str, value: Any) -> None:
    """These were a KeyError, TypeError or AttributeError; a tiny rate as text would take gigabytes as a fraction."""
    change(measured / "b.json", **{key: value})
    with pytest.raises(DataError) as caught:
        compare_models(measured / "a.json", measured / "b.json")
    assert len(str(caught.value).replace(str(measured), "")) < 300


@pytest.mark.parametrize("key", ["rank1", "tar"])
def test_a_result_without_its_figures_is_named(measured: Path, key: str) -> None:
    content = json.loads((measured / "b.json").read_text())
    del content[key]
    (measured / "b.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"b\.json cannot be read .*; measure it again with"):
        compare_models(measured / "a.json", measured / "b.json")


def test_a_result_without_its_counts_is_not_compared(measured: Path) -> None:
    (measured / "b.npz").unlink()
    with pytest.raises(DataError, match=r"b\.npz does not exist"):
        compare_models(measured / "a.json", measured / "b.json")
