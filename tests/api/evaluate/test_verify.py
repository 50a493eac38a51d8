"""Verification of every kind of pair list, and the JSON that other programs rely on."""

from __future__ import annotations

import json
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
from facekd.data.transforms import decode, decode_crop
from facekd.errors import DataError, ModelError, SetupError
from facekd.run import Run

FIELDS = {"accuracy", "accuracy_std", "accuracy_interval", "auc", "eer", "threshold", "pairs", "tar", "tar_interval"}


def are_fractions(values: list[Any]) -> bool:
    return all(isinstance(value, float) and 0 <= value <= 1 for value in values)


def scores_of(model: Path, pairs: Path, images: Path, flip: bool) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The cosine of every pair, computed one image at a time, and whether it is genuine."""
    embedder = facekd.load(model)
    pair_set = open_pairs(pairs, images)
    crops = [decode_crop(pair_set.read(index), 32, "") for index in range(len(pair_set.images))]
    rows = np.stack([embedder.embed(crop[None], flip)[0].astype(np.float64) for crop in crops])
    return (rows[pair_set.first] * rows[pair_set.second]).sum(axis=1), pair_set.same


def test_verify_writes_the_fixed_fields(
    fixtures: Path, run: Run, tmp_path: Path, run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    words = ("--images", fixtures / "folder", "--pairs", fixtures / "pairs.csv", "--json", out)
    assert run_cli("eval", "verify", "--model", run.model, *words) == 0
    content = json.loads(out.read_text())
    assert content.keys() >= FIELDS
    assert are_fractions([content[name] for name in ("accuracy", "accuracy_std", "auc", "eer")])
    assert are_fractions(content["accuracy_interval"])
    assert len(content["accuracy_interval"]) == 2
    assert -1 <= content["threshold"] <= 1
    assert content["pairs"] == 64
    assert content["tar"].keys() == content["tar_interval"].keys() >= {"1e-2", "1e-4"}
    assert are_fractions([content["tar"]["1e-1"], *content["tar_interval"]["1e-1"]])  # 32 impostor pairs: 3 may pass
    assert all(content[field][far] is None for field in ("tar", "tar_interval") for far in ("1e-2", "1e-4"))
    assert "TAR at FAR 1e-2 is not given: 32 impostor pairs" in capsys.readouterr().out


@pytest.mark.parametrize("flip", [True, False])
def test_verify_measures_what_the_cosines_say(fixtures: Path, run: Run, flip: bool) -> None:
    scores, same = scores_of(run.model, fixtures / "pairs.csv", fixtures / "folder", flip)
    result = verify(run.model, fixtures / "pairs.csv", images=fixtures / "folder", flip=flip, device="cpu")
    assert result.auc == pytest.approx(roc_auc_score(same, scores), abs=1e-9)
    assert result.tar["1e-1"] == pytest.approx(max(
        (scores[same] > t).mean() for t in [*scores, -2] if (scores[~same] > t).sum() <= 3
    ))


def test_verify_reads_the_three_kinds_of_pair_list(fixtures: Path, run: Run) -> None:
    of_csv = verify(run.model, fixtures / "pairs.csv", images=fixtures / "folder")
    of_txt = verify(run.model, fixtures / "pairs.txt", images=fixtures / "lfw")
    of_bin = verify(run.model, fixtures / "pairs.bin")
    assert [result.folds for result in (of_csv, of_txt, of_bin)] == [4, 4, 10]  # a .bin holds no folds
    assert of_csv.to_dict() == of_txt.to_dict()
    assert (of_csv.auc, of_csv.eer, of_csv.tar) == (of_bin.auc, of_bin.eer, of_bin.tar)


def test_a_run_folder_keeps_its_results(fixtures: Path, run: Run) -> None:
    result = verify(run.path, fixtures / "pairs.bin")
    content = json.loads((run.results / "verify-pairs.json").read_text())
    assert (content["accuracy"], content["kind"], content["name"]) == (result.accuracy, "verify", "pairs")
    assert content["model_sha256"] == facekd.load(run.model).fingerprint
    assert content["roc"]["far"] == sorted(content["roc"]["far"])
    assert decode((run.results / "verify-pairs.jpg").read_bytes(), "sheet").ndim == 3


def test_a_loaded_model_is_not_loaded_again(
    fixtures: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = facekd.load(run.path)
    expected = verify(run.path, fixtures / "pairs.bin", device="cpu").to_dict()
    (run.results / "verify-pairs.json").unlink()
    monkeypatch.setattr("facekd.api.evaluate.verify.load", None)
    assert verify(run.path, fixtures / "pairs.bin", embedder=embedder).to_dict() == expected
    assert (run.results / "verify-pairs.json").is_file()


def test_a_model_file_keeps_nothing_in_its_folder(fixtures: Path, run: Run) -> None:
    verify(run.model, fixtures / "pairs.bin")
    assert not run.results.exists()


def test_verify_without_the_images_folder_is_refused(fixtures: Path, run: Run) -> None:
    with pytest.raises(DataError, match=r"pairs\.csv names its images by path"):
        verify(run.model, fixtures / "pairs.csv")


def test_a_missing_model_is_named(fixtures: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx does not exist"):
        verify(tmp_path / "none.onnx", fixtures / "pairs.bin")


def test_the_fixture_has_the_size_that_these_tests_expect(fixtures: Path) -> None:
    assert (len(open_faces(fixtures / "folder")), len(open_pairs(fixtures / "pairs.bin", None))) == (32, 64)


def test_a_name_that_leads_out_of_the_run_is_refused(
    fixtures: Path, run: Run, run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """It wrote RUN/evil.json."""
    words = ("--model", run.path, "--pairs", fixtures / "pairs.bin", "--name", "../../../evil")
    assert run_cli("eval", "verify", *words) == 2
    assert "--name '../../../evil' is no plain name" in capsys.readouterr().err
    assert not run.results.exists()


def test_a_folder_of_images_beside_a_bin_is_refused(fixtures: Path, run: Run) -> None:
    with pytest.raises(DataError, match=r"--images has no effect: .*pairs\.bin holds its images"):
        verify(run.model, fixtures / "pairs.bin", images=fixtures / "folder")


def test_a_folder_in_place_of_the_result_is_refused_before_the_work(
    fixtures: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facekd.api.evaluate.verify.load", None)
    with pytest.raises(SetupError, match="is a folder, the output is a file"):
        verify(run.model, fixtures / "pairs.bin", json=tmp_path)
