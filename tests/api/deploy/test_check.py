"""Whether thresholds hold on new images: where they come from, and what the result says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import facekd
from facekd.api.deploy.check import check
from facekd.api.evaluate.stored_thresholds import StoredVerification
from facekd.data.opening import open_faces
from facekd.data.synthetic.dataset import write_faces
from facekd.data.transforms import decode_crop
from facekd.errors import DataError
from facekd.io import files
from facekd.run import Run


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 people with one image each."""
    folder = tmp_path_factory.mktemp("crowd")
    write_faces(folder, range(200, 260), 1, size=32)
    return folder


def cosines_of(run: Run, folder: Path) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    faces = open_faces(folder)
    crops = np.stack([decode_crop(faces.read(index), 32, "") for index in range(len(faces))])
    rows = facekd.load(run.model).embed(crops, flip=False).astype(np.float64)
    return np.asarray((rows @ rows.T)[np.triu_indices(len(faces), 1)])


def test_a_threshold_of_these_images_holds_and_another_does_not(
    run: Run, crowd: Path, tmp_path: Path, run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    cosines, kept = cosines_of(run, crowd), run.results / "verify-x.json"
    files.write_json(kept, {"thresholds": {"1e-1": float(np.quantile(cosines, 0.9))}, "flip": False})
    assert run_cli("check", run.path, crowd) == 0
    assert "it still means its rate" in capsys.readouterr().out
    files.write_json(kept, {"thresholds": {"1e-1": float(np.quantile(cosines, 0.3))}, "flip": False})
    assert run_cli("check", run.path, crowd, "--json", tmp_path / "out.json") == 1
    assert "accepts more strangers than stated" in capsys.readouterr().out
    content = json.loads((tmp_path / "out.json").read_text())
    assert (content["kind"], content["holds"], content["images"], content["labeled"]) == ("check", False, 60, True)
    assert content["rates"][0]["rate"] == pytest.approx((cosines > np.quantile(cosines, 0.3)).mean(), abs=2e-3)


def test_quantiles_of_the_package_are_compared(run: Run, crowd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_json(run.results / "verify-x.json", {"thresholds": {"1e-2": 0.9}, "flip": False})
    first = check(run.path, crowd)
    assert "keeps no quantiles" in first.describe()
    before = first.similarities.to_dict()
    stored = StoredVerification(run.path, False, {}, {"1e-2": 0.9}, before)
    monkeypatch.setattr("facekd.api.deploy.check.stored_verifications", lambda model, embedder: iter([stored]))
    assert "cosine of strangers: 50% quantile" in check(run.path, crowd).describe()


def test_without_a_threshold_there_is_advice(run: Run, crowd: Path) -> None:
    with pytest.raises(DataError, match="no verification result of this model holds a threshold"):
        check(run.path, crowd)


def test_few_images_are_refused(run: Run, tmp_path: Path) -> None:
    files.write_json(run.results / "verify-x.json", {"thresholds": {"1e-2": 0.9}})
    write_faces(tmp_path / "few", range(5), 2, size=32)
    with pytest.raises(DataError, match="holds 10 images, a rate needs 50 or more"):
        check(run.path, tmp_path / "few")
