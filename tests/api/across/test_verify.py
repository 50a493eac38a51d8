from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]

from facekd.api.across.verify import verify_across
from facekd.api.evaluate.verify import verify
from facekd.data.opening import open_pairs
from facekd.errors import DataError, SetupError
from facekd.evaluation.verification.verify import pair_features
from facekd.models.loading import load


def test_the_columns_are_the_two_models_and_new_images_against_old_ones(fixtures: Path, new: Path, old: Path,
                                                                        tmp_path: Path) -> None:
    result = verify_across(new, old, fixtures / "pairs.bin", json=tmp_path / "r.json", device="cpu")
    assert result.results["old/old"].auc == verify(old, fixtures / "pairs.bin", device="cpu").auc
    assert result.results["new/new"].auc == verify(new, fixtures / "pairs.bin", device="cpu").auc
    pairs = open_pairs(fixtures / "pairs.bin", None)
    rows = [pair_features(load(path), pairs, True) for path in (new, old)]
    scores = [rows[0][a] @ rows[1][b] for one, other in ((pairs.first, pairs.second), (pairs.second, pairs.first))
              for a, b in zip(one, other, strict=True)]
    assert result.results["new/old"].auc == pytest.approx(roc_auc_score(np.tile(pairs.same, 2), scores))
    content = json.loads((tmp_path / "r.json").read_text())
    assert (content["kind"], content["evaluation"], content["name"]) == ("across", "verify", "verify-pairs")
    assert content["results"]["new/old"]["auc"] == result.results["new/old"].auc
    assert content["model_sha256"] == load(new).fingerprint


def test_a_map_takes_an_old_model_of_another_length(fixtures: Path, new: Path, longer: Path, map_file: Path) -> None:
    result = verify_across(new, longer, fixtures / "pairs.bin", map_file=map_file, device="cpu")
    assert "new/old is converted by a map" in result.describe()


def test_images_beside_a_bin_are_refused(fixtures: Path, new: Path, old: Path) -> None:
    with pytest.raises(DataError, match="--images has no effect"):
        verify_across(new, old, fixtures / "pairs.bin", images=fixtures)


def test_the_result_must_not_replace_the_old_model(fixtures: Path, new: Path, old: Path) -> None:
    with pytest.raises((DataError, SetupError), match="--json"):
        verify_across(new, old, fixtures / "pairs.bin", json=old)
