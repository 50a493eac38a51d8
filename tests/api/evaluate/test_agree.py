"""Agreement of two models on a face set: its result file, its sheet, and the source of the thresholds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import facekd
from facekd.api.evaluate.agree import agree
from facekd.data.opening import open_faces
from facekd.data.synthetic.dataset import write_faces
from facekd.data.transforms import decode_crop
from facekd.errors import DataError, ModelError
from facekd.io import files
from facekd.models.registry import create
from facekd.models.weights import save_model
from facekd.run import Run


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face set of 6 identities with two images each."""
    folder = tmp_path_factory.mktemp("people")
    write_faces(folder, range(6), 2, size=32)
    return folder


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network with embeddings of 16 numbers."""
    path = tmp_path_factory.mktemp("other") / "teacher.safetensors"
    torch.manual_seed(1)
    save_model(create("mobilenetv2", size=32, outputs=16, expansion=2, width=0.25), path)
    return path


def test_the_result_is_written_with_the_worst_images(
    run: Run, other: Path, people: Path, tmp_path: Path, run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    out, sheet = tmp_path / "out.json", tmp_path / "sheet.jpg"
    words = ("--far", "1e-1", "--json", out, "--sheet", sheet)
    assert run_cli("eval", "agree", run.path, other, people, *words) == 0
    assert "cosine to the teacher: mean" in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert (content["kind"], content["images"], content["teacher"]) == ("agree", 12, str(other))
    assert content == json.loads((run.results / f"agree-{people.name}.json").read_text())
    assert cv2.imread(str(sheet)) is not None
    assert sheet.read_bytes() == (run.results / f"agree-{people.name}.jpg").read_bytes()
    faces = open_faces(people)
    crops = np.stack([decode_crop(faces.read(index), 32, "") for index in range(12)])
    first, second = (facekd.load(path).embed(crops).astype(np.float64) for path in (run.path, other))
    cosines = (first * second).sum(axis=1)
    assert content["cosine"]["mean"]["value"] == pytest.approx(cosines.mean(), abs=1e-5)
    assert content["worst"][0]["image"] == faces.image_name(int(cosines.argmin()))


def test_labels_separate_the_pairs_that_thresholds_come_from(run: Run, other: Path, people: Path) -> None:
    decisions = agree(run.path, other, people, fars=["1e-1"]).decisions[0]
    assert decisions.source == "of 60 pairs of different people"  # 66 pairs, 6 of one person


def test_without_labels_all_pairs_count_as_different_people(run: Run, other: Path, tmp_path: Path) -> None:
    write_faces(tmp_path / "one", range(1), 9, size=32)
    result = agree(run.path, other, tmp_path / "one", fars=["1e-1"])
    assert result.decisions[0].source == "of 36 pairs of these images, taken as different people"
    assert any("all pairs of the images as different people" in note for note in result.notes)


def test_a_given_threshold_is_the_only_one(run: Run, other: Path, people: Path) -> None:
    (decisions,) = agree(run.path, other, people, threshold=0.25).decisions
    assert (decisions.threshold, decisions.far, decisions.source) == (0.25, None, "as given")


def test_the_threshold_that_is_kept_with_the_teacher_goes_first(run: Run, other: Path, people: Path) -> None:
    kept = other.with_name("teacher.safetensors.results") / "verify-list.json"
    files.write_json(kept, {"kind": "verify", "thresholds": {"1e-1": 0.5}, "flip": True})
    (decisions,) = agree(run.path, other, people, fars=["1e-1"]).decisions
    assert (decisions.threshold, decisions.source) == (0.5, f"from {kept}")
    (of_one_view,) = agree(run.path, other, people, fars=["1e-1"], flip=False).decisions
    assert of_one_view.source.endswith("pairs of different people")
    kept.unlink()


def test_a_result_of_other_views_is_refused(run: Run, other: Path, people: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    sha256 = facekd.load(other).fingerprint
    files.write_json(result, {"kind": "verify", "model_sha256": sha256, "thresholds": {"1e-1": 0.5}, "flip": False})
    with pytest.raises(DataError, match=r"result\.json holds no threshold at FAR 1e-1, or was measured without mirror"):
        agree(run.path, other, people, fars=["1e-1"], result=result)
    (decisions,) = agree(run.path, other, people, fars=["1e-1"], result=result, flip=False).decisions
    assert decisions.threshold == 0.5


@pytest.mark.parametrize(("arguments", "message"), [
    ({"threshold": float("nan")}, "--threshold nan is no similarity"),
    ({"threshold": 0.1, "fars": ["1e-2"]}, "--threshold replaces"), ({"fars": []}, "no false accept rate is given"),
    ({"fars": ["x"]}, "'x' is no false accept rate"), ({"pairs": 3}, "--pairs 3 is too few"),
    ({"name": "../x"}, "--name"),
])
def test_arguments_without_sense_or_effect_are_refused(
    run: Run, other: Path, people: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        agree(run.path, other, people, **arguments)


def test_a_model_is_not_compared_with_itself(run: Run, people: Path) -> None:
    with pytest.raises(ModelError, match="student and teacher are the same model"):
        agree(run.path, run.model, people)


def test_few_images_are_refused_before_they_are_embedded(run: Run, other: Path, tmp_path: Path) -> None:
    write_faces(tmp_path / "few", range(2), 2, size=32)
    with pytest.raises(DataError, match="holds 4 images, agreement is measured on 8 or more"):
        agree(run.path, other, tmp_path / "few")


def test_options_of_a_file_belong_to_a_model_that_is_not_loaded(run: Run, other: Path, people: Path) -> None:
    models = facekd.load(run.path), facekd.load(other)
    with pytest.raises(ModelError, match="the model is loaded already"):
        agree(run.path, other, people, embedders=models, teacher_options={"pixels": "raw"})
    assert agree(run.path, other, people, embedders=models, fars=["1e-1"]).images == 12
