from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facekd.api.across.megaface import megaface_across
from facekd.api.evaluate.megaface import megaface
from facekd.data.opening import open_faces
from facekd.errors import ModelError
from facekd.evaluation.embedding.embed import embed_images
from facekd.models.loading import load


def test_the_columns_are_the_two_models_and_new_probes_among_old_distractors(
    fixtures: Path, distractors: Path, new: Path, old: Path, tmp_path: Path
) -> None:
    probes = fixtures / "folder"
    result = megaface_across(new, old, probes, distractors, json=tmp_path / "r.json", device="cpu")["megaface"]
    for combination, model in (("old/old", old), ("new/new", new)):
        assert result.results[combination].cmc == megaface(model, probes, distractors, device="cpu")["megaface"].cmc
    faces, others = open_faces(probes), open_faces(distractors)
    probe, mate, ahead = (embed_images(load(model), images).astype(float)
                          for model, images in ((new, faces), (old, faces), (old, others)))
    ranks = [(probe[a] @ ahead.T >= probe[a] @ mate[b]).sum() for a in range(len(faces)) for b in range(len(faces))
             if a != b and faces.labels[a] == faces.labels[b]]
    assert result.results["new/old"].rank1 == pytest.approx(np.mean(np.array(ranks) == 0))
    assert json.loads((tmp_path / "r.json").read_text())["evaluation"] == "megaface"


def test_a_map_takes_an_old_model_of_another_length(
    fixtures: Path, distractors: Path, new: Path, longer: Path, map_file: Path
) -> None:
    results = megaface_across(new, longer, fixtures / "folder", distractors, map_file=map_file, device="cpu")
    assert "converted by a map" in results["megaface"].describe()


def test_a_second_call_reuses_the_features_of_both_models(
    fixtures: Path, distractors: Path, new: Path, old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        megaface_across(new, old, fixtures / "folder", distractors, features=tmp_path / "f", device="cpu")
    assert capsys.readouterr().err.count("holds these embeddings already") == 4


def test_an_option_without_an_effect_is_refused(fixtures: Path, distractors: Path, new: Path, old: Path) -> None:
    with pytest.raises(ModelError, match="--noise-mode has no effect"):
        megaface_across(new, old, fixtures / "folder", distractors, noise_mode="raw")
