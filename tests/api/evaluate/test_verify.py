"""``eval verify``: the JSON that other programs rely on, from every kind of pair list."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]

import facekd
from facekd.api.evaluate.verify import verify
from facekd.data.opening import open_faces, open_pairs
from facekd.data.transforms import crop_of, decode
from facekd.errors import DataError, ModelError
from facekd.run import Run

ROOT = Path(__file__).resolve().parents[2]
VERIFY = {"accuracy", "accuracy_std", "accuracy_interval", "auc", "eer", "threshold", "pairs", "tar", "tar_interval"}
MEGAFACE = {"rank1", "rank1_interval", "cmc", "pairs", "distractors", "tar", "tar_interval"}


def are_fractions(values: list[Any]) -> bool:
    return all(isinstance(value, float) and 0 <= value <= 1 for value in values)


def scores_of(model: Path, pairs: Path, images: Path, flip: bool) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Cosines of all pairs, one image at a time."""
    embedder, chosen = facekd.load(model), open_pairs(pairs, images)
    crops = [crop_of(chosen.read(index), 32, "") for index in range(len(chosen.images))]
    rows = np.stack([embedder.embed(crop[None], flip)[0].astype(np.float64) for crop in crops])
    return (rows[chosen.first] * rows[chosen.second]).sum(axis=1), chosen.same


def test_verify_writes_the_fixed_fields(
    fixtures: Path, run: Run, tmp_path: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    words = ("--images", fixtures / "folder", "--pairs", fixtures / "pairs.csv", "--json", out)
    assert call("eval", "verify", "--model", run.model, *words) == 0
    found = json.loads(out.read_text())
    assert found.keys() >= VERIFY
    assert are_fractions([found[name] for name in ("accuracy", "accuracy_std", "auc", "eer")])
    assert are_fractions(found["accuracy_interval"])
    assert len(found["accuracy_interval"]) == 2
    assert -1 <= found["threshold"] <= 1
    assert found["pairs"] == 64
    assert found["tar"].keys() == found["tar_interval"].keys() >= {"1e-2", "1e-4"}
    assert are_fractions([found["tar"]["1e-1"], *found["tar_interval"]["1e-1"]])  # 32 impostor pairs: 3 may pass
    assert all(found[field][far] is None for field in ("tar", "tar_interval") for far in ("1e-2", "1e-4"))
    assert "TAR at FAR 1e-2 is not given: 32 impostor pairs" in capsys.readouterr().out


@pytest.mark.parametrize("flip", [True, False])
def test_verify_measures_what_the_cosines_say(fixtures: Path, run: Run, flip: bool) -> None:
    scores, same = scores_of(run.model, fixtures / "pairs.csv", fixtures / "folder", flip)
    found = verify(run.model, fixtures / "pairs.csv", fixtures / "folder", flip=flip, device="cpu")
    assert found.auc == pytest.approx(roc_auc_score(same, scores), abs=1e-9)
    assert found.tar["1e-1"] == pytest.approx(max(
        (scores[same] > t).mean() for t in [*scores, -2] if (scores[~same] > t).sum() <= 3
    ))


def test_verify_reads_the_three_kinds_of_pair_list(fixtures: Path, run: Run) -> None:
    found = [
        verify(run.model, fixtures / "pairs.csv", fixtures / "folder"),
        verify(run.model, fixtures / "pairs.txt", fixtures / "lfw"),
        verify(run.model, fixtures / "pairs.bin"),
    ]
    assert [one.folds for one in found] == [4, 4, 10]  # a .bin holds no folds
    assert found[0].to_dict() == found[1].to_dict()
    assert (found[0].auc, found[0].eer, found[0].tar) == (found[2].auc, found[2].eer, found[2].tar)


def test_a_run_folder_keeps_its_results(fixtures: Path, run: Run) -> None:
    found = verify(run.path, fixtures / "pairs.bin")
    kept = json.loads((run.results / "verify-pairs.json").read_text())
    assert (kept["accuracy"], kept["kind"], kept["name"]) == (found.accuracy, "verify", "pairs")
    assert kept["model_sha256"] == facekd.load(run.model).fingerprint
    assert kept["roc"]["far"] == sorted(kept["roc"]["far"])
    assert decode((run.results / "verify-pairs.jpg").read_bytes(), "sheet").ndim == 3


def test_a_model_file_keeps_nothing_beside_it(fixtures: Path, run: Run) -> None:
    verify(run.model, fixtures / "pairs.bin")
    assert not run.results.exists()


def test_verify_without_the_images_folder_says_so(fixtures: Path, run: Run) -> None:
    with pytest.raises(DataError, match=r"pairs\.csv names its images by path"):
        verify(run.model, fixtures / "pairs.csv")


def test_a_model_that_is_not_there_is_said(fixtures: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx does not exist"):
        verify(tmp_path / "none.onnx", fixtures / "pairs.bin")


@pytest.mark.parametrize(("script", "option"), [
    ("verify", "--no-flip"), ("megaface", "--no-flip"), ("cifar", "--teacher"), ("imagenet", "--teacher"),
    ("ijb", "--meta"), ("search", "--gallery"), ("all", "--sets"),
])
def test_the_scripts_in_eval_take_the_same_options(script: str, option: str) -> None:
    command = [sys.executable, str(ROOT / "eval" / f"{script}.py"), "--help"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    helped = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert helped.returncode == 0, helped.stderr
    assert "--json" in helped.stdout
    assert option in helped.stdout


def test_the_fixture_is_the_set_these_numbers_speak_of(fixtures: Path) -> None:
    assert (len(open_faces(fixtures / "folder")), len(open_pairs(fixtures / "pairs.bin", None))) == (32, 64)
