from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facekd.data.feature_files import write_features
from facekd.errors import DataError
from facekd.verbs.ijb import ijb


@pytest.fixture
def meta(tmp_path: Path) -> Path:
    """Ten people, an enrolled template and a probe of two images each, in InsightFace's form."""
    folder = tmp_path / "meta"
    folder.mkdir()
    lines = [f"{image}.jpg {image // 2} {image}\n" for image in range(40)]
    (folder / "ijbb_face_tid_mid.txt").write_text("".join(lines))
    points = " ".join(["1.5"] * 10)
    (folder / "ijbb_name_5pts_score.txt").write_text("".join(f"{image}.jpg {points} 0.9\n" for image in range(40)))
    pairs = [f"{one} {10 + other} {int(one == other)}\n" for one in range(10) for other in range(10)]
    (folder / "ijbb_template_pair_label.txt").write_text("".join(pairs))
    return folder


@pytest.fixture
def features(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    people = np.tile(np.repeat(np.arange(10), 2), 2)
    rows = generator.normal(size=(10, 32))[people] + 0.1 * generator.normal(size=(40, 32))
    path = tmp_path / "features.npy"
    write_features(path, rows.astype(np.float32))
    return path


def test_features_and_meta_files_give_a_result_file(features: Path, meta: Path, tmp_path: Path) -> None:
    result = ijb(features, meta, json=tmp_path / "out.json")
    assert result.verification is not None and result.verification.tar["1e-1"] == 1.0
    content = json.loads((tmp_path / "out.json").read_text())
    assert (content["kind"], content["name"], content["use_detector_score"]) == ("ijb", "meta", True)
    assert content["verification"]["genuine"] == 10


def test_images_that_were_not_embedded_are_named(features: Path, meta: Path) -> None:
    features.with_suffix(".names.txt").write_text("".join(f"{image + 1}.jpg\n" for image in range(40)))
    with pytest.raises(DataError, match=r"lacks 1 images .*: 0\.jpg"):
        ijb(features, meta)
