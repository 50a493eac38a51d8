from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facekd.api.evaluate.identify import identify
from facekd.data.feature_set import FeatureSet
from facekd.data.features.opening import open_features, write_features
from facekd.data.synthetic.dataset import write_faces
from facekd.errors import DataError
from facekd.run import Run

IDENTITIES = ("anna", "bert", "carl", "dora", "emil")


def write(path: Path, identities: list[str], with_names: bool = True) -> Path:
    """Features of these identities, with labels that are numbered within the file, as in a face set."""
    generator = np.random.default_rng(len(identities))
    centers = np.random.default_rng(0).normal(size=(len(IDENTITIES), 16))
    rows = centers[[IDENTITIES.index(identity) for identity in identities]]
    rows = rows + 0.1 * generator.normal(size=rows.shape)
    labels = np.unique(identities, return_inverse=True)[1]
    names = [f"{identity}/{row}.png" for row, identity in enumerate(identities)] if with_names else None
    write_features(path, rows.astype(np.float32), labels, names)
    return path


def test_identities_are_the_folders_of_image_names(tmp_path: Path) -> None:
    probes = write(tmp_path / "probes.npy", ["bert", "carl", "carl", "emil"])
    gallery = write(tmp_path / "gallery.npy", ["anna", "bert", "carl"])
    result = identify(probes, gallery, json=tmp_path / "out.json")
    assert (result.mated, result.unmated, result.rank[1]) == (3, 1, 1.0)
    assert result.notes[-1] == "identities are the folders of the image names"
    content = json.loads((tmp_path / "out.json").read_text())
    assert (content["kind"], content["name"], content["gallery_from"]) == ("identify", "gallery", str(gallery))


def test_identities_are_labels_where_images_have_no_names(tmp_path: Path) -> None:
    probes = write(tmp_path / "probes.npy", ["anna", "bert"], with_names=False)
    gallery = write(tmp_path / "gallery.npy", ["anna", "bert", "carl"], with_names=False)
    result = identify(probes, gallery)
    assert result.rank[1] == 1.0
    assert result.notes[-1] == "identities are the labels"


def test_identities_from_folders_need_image_names(tmp_path: Path) -> None:
    probes = write(tmp_path / "probes.npy", ["anna", "bert"], with_names=False)
    with pytest.raises(DataError, match="does not name its rows"):
        identify(probes, probes, identity_from="folder")


def test_another_source_of_identities_is_refused(tmp_path: Path) -> None:
    probes = write(tmp_path / "probes.npy", ["anna", "bert"])
    with pytest.raises(DataError, match="'folder' or 'label'"):
        identify(probes, probes, identity_from="name")


def test_face_sets_of_a_model_match_by_the_names_of_identities(run: Run, tmp_path: Path) -> None:
    write_faces(tmp_path / "probes", range(3, 8), 2, size=32)
    write_faces(tmp_path / "gallery", range(0, 6), 1, size=32)
    result = identify(tmp_path / "probes", tmp_path / "gallery", model=run.path, device="cpu", name="mine")
    assert (result.mated, result.unmated, result.gallery_identities) == (6, 4, 6)
    content = json.loads((run.results / "identify-mine.json").read_text())
    assert content["rank"]["1"] == result.rank[1]


def test_opened_features_keep_their_own_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[FeatureSet] = []

    def open_recorded(path: Path) -> FeatureSet:
        opened.append(open_features(path))
        return opened[-1]

    monkeypatch.setattr("facekd.api.evaluate.identify.open_features", open_recorded)
    probes = write(tmp_path / "probes.npy", ["bert", "carl"])
    gallery = write(tmp_path / "gallery.npy", ["anna", "bert", "carl"])
    result = identify(probes, gallery, identity_from="folder")
    assert result.mated == 2
    assert [features.labels.tolist() for features in opened if features.labels is not None] == [[0, 1], [0, 1, 2]]
