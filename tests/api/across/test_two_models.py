from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facekd.api.across.two_models import TwoModels, load_two_models
from facekd.errors import DataError, ModelError
from facekd.models.loading import load


def load_both(new: Path, old: Path, map_file: Path | None = None) -> TwoModels:
    return load_two_models(new, old, device="cpu", options={}, map_file=map_file)


def test_models_of_one_length_are_loaded(new: Path, old: Path) -> None:
    models = load_both(new, old)
    assert (models.names, models.notes) == (("old", "new"), ())
    assert models.to_dict()["gallery_model_sha256"] == load(old).fingerprint


def test_models_of_one_name_are_told_apart_by_their_fingerprints(new: Path, old: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    namesake = Path(shutil.copy(old, tmp_path / "again" / "new.safetensors"))
    digits = [load(model).fingerprint[:8] for model in (old, new)]
    assert load_both(new, namesake).names == (f"new ({digits[0]})", f"new ({digits[1]})")


def test_one_model_twice_is_refused(new: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="are one model; leave --gallery-model out"):
        load_both(new, Path(shutil.copy(new, tmp_path / "copy.safetensors")))


def test_two_lengths_are_refused_with_what_helps(new: Path, longer: Path) -> None:
    with pytest.raises(ModelError, match=r"of 16 numbers and .* of 24, .*student.compatible.*'facekd convert --fit'"):
        load_both(new, longer)


def test_a_map_makes_two_lengths_comparable(new: Path, longer: Path, map_file: Path) -> None:
    models = load_both(new, longer, map_file)
    assert models.notes == ("the gallery of new/old is converted by a map (ridge, fitted on 80 images)",)
    assert models.to_dict()["map_sha256"] == models.feature_map.fingerprint if models.feature_map else False


def test_a_map_of_other_models_is_refused(new: Path, old: Path, map_file: Path) -> None:
    with pytest.raises(DataError, match=r"maps from old .* not from old .*; fit a map of these two models"):
        load_both(new, old, map_file)


def test_options_of_the_old_model_reach_it(new: Path, old: Path) -> None:
    with pytest.raises(ModelError, match="--pixels has no effect"):
        load_two_models(new, old, device="cpu", options={}, gallery_input={"pixels": "raw"})
