from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekd.data.feature_set import FeatureSet
from facekd.data.features.opening import open_features, write_features
from facekd.data.features.provenance import write_provenance
from facekd.errors import DataError
from facekd.evaluation.embedding.mixed_models import check_different_sets, match_models

STUDENT, TEACHER = "5" * 64, "7" * 64


def features_of(path: Path, model: str | None, *, rows: int = 6, seed: int = 0, flip: bool = True, images: str = "",
                name: str | None = None) -> FeatureSet:
    """Features with the provenance of a model, or without any."""
    write_features(path, np.random.default_rng(seed).normal(size=(rows, 8)).astype(np.float32))
    if model:
        identity: dict[str, Any] = {"model": model, "flip": flip, "size": 112, "images": images or path.stem,
                                    "rows": rows}
        write_provenance(path, identity, name or {STUDENT: "student", TEACHER: "teacher"}[model], {})
    return open_features(path)


def test_features_of_one_model_match_without_a_word(tmp_path: Path) -> None:
    match = match_models(features_of(tmp_path / "p.npy", STUDENT), features_of(tmp_path / "d.npy", STUDENT), "gallery")
    assert (match.across, match.notes) == (False, ())
    assert match.models == {role: {"name": "student", "sha256": STUDENT} for role in ("probes", "gallery")}


def test_features_of_two_models_are_refused_with_both_names(tmp_path: Path) -> None:
    pair = features_of(tmp_path / "p.npy", STUDENT), features_of(tmp_path / "d.npy", TEACHER)
    with pytest.raises(DataError, match=r"p\.npy are of the model student \(55555555\), the distractors .*d\.npy of "
                                        r"teacher \(77777777\): .* give --across if"):
        match_models(*pair, "distractors")


def test_two_models_of_one_name_are_told_apart(tmp_path: Path) -> None:
    pair = (features_of(tmp_path / "p.npy", STUDENT, name="run"), features_of(tmp_path / "d.npy", TEACHER, name="run"))
    with pytest.raises(DataError, match=r"run \(55555555\), .* of run \(77777777\)"):
        match_models(*pair, "gallery")


def test_across_models_is_said(tmp_path: Path) -> None:
    pair = features_of(tmp_path / "p.npy", STUDENT), features_of(tmp_path / "g.npy", TEACHER)
    match = match_models(*pair, "gallery", across=True)
    assert match.across
    assert match.notes == ("across models: the probes are of student (55555555), the gallery of teacher (77777777)",)


def test_across_without_a_second_model_is_refused(tmp_path: Path) -> None:
    pair = features_of(tmp_path / "p.npy", STUDENT), features_of(tmp_path / "d.npy", STUDENT)
    with pytest.raises(DataError, match=r"both of student \(55555555\); leave --across out"):
        match_models(*pair, "distractors", across=True)


@pytest.mark.parametrize("known", ["p", "d", ""])
def test_features_that_do_not_name_their_model_are_noted(tmp_path: Path, known: str) -> None:
    pair = [features_of(tmp_path / f"{name}.npy", STUDENT if name == known else None) for name in "pd"]
    match = match_models(pair[0], pair[1], "distractors")
    assert not match.across and len(match.notes) == 1
    assert "whether one model made both is not checked: no NAME.json" in match.notes[0]
    assert [f"{name}.npy" in match.notes[0] for name in "pd"] == [name != known for name in "pd"]


def test_across_is_taken_from_the_user_where_no_model_is_named(tmp_path: Path) -> None:
    match = match_models(features_of(tmp_path / "p.npy", None), features_of(tmp_path / "d.npy", TEACHER), "gallery",
                         across=True)
    assert match.across and match.notes[0].startswith("across models as given")


def test_other_settings_of_one_model_are_noted(tmp_path: Path) -> None:
    pair = features_of(tmp_path / "p.npy", STUDENT, flip=False), features_of(tmp_path / "d.npy", STUDENT)
    (note,) = match_models(*pair, "gallery").notes
    assert note.startswith("the model embedded the probes without their mirror images, at 112 px and the gallery with")


def test_one_file_as_both_is_refused(tmp_path: Path) -> None:
    features = features_of(tmp_path / "p.npy", None)
    with pytest.raises(DataError, match=r"probes and gallery are one and the same set .*finds its own image first"):
        check_different_sets(features, features, "gallery")


@pytest.mark.parametrize("rows", [1, 6, 300])
def test_a_copy_under_another_name_is_refused(tmp_path: Path, rows: int) -> None:
    pair = [features_of(tmp_path / f"{name}.npy", None, rows=rows) for name in "pd"]
    with pytest.raises(DataError, match="own image is ahead of all of its mates; give two different sets"):
        check_different_sets(pair[0], pair[1], "distractors")


def test_the_same_images_of_another_model_are_refused(tmp_path: Path) -> None:
    pair = [features_of(tmp_path / f"{model[0]}.npy", model, seed=seed, images="one")
            for seed, model in enumerate((STUDENT, TEACHER))]
    with pytest.raises(DataError, match="one and the same set"):
        check_different_sets(pair[0], pair[1], "distractors")


def test_different_sets_pass(tmp_path: Path) -> None:
    first = features_of(tmp_path / "a.npy", STUDENT)
    check_different_sets(first, features_of(tmp_path / "b.npy", STUDENT, seed=1), "gallery")
    check_different_sets(first, features_of(tmp_path / "c.npy", STUDENT, rows=5), "gallery")
