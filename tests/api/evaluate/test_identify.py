from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facekd.api.evaluate.identify import search
from facekd.data.features.opening import write_features
from facekd.data.synthetic.dataset import write_faces
from facekd.errors import DataError
from facekd.run import Run

PEOPLE = ("anna", "bert", "carl", "dora", "emil")


def write(path: Path, people: list[str], named: bool = True) -> Path:
    """Features of people, each numbered within its own file, as a face set numbers its folders."""
    generator = np.random.default_rng(len(people))
    centres = np.random.default_rng(0).normal(size=(len(PEOPLE), 16))
    rows = centres[[PEOPLE.index(who) for who in people]] + 0.1 * generator.normal(size=(len(people), 16))
    labels = np.unique(people, return_inverse=True)[1]
    names = [f"{who}/{row}.png" for row, who in enumerate(people)] if named else None
    write_features(path, rows.astype(np.float32), labels, names)
    return path


def test_people_are_told_apart_by_folders(tmp_path: Path) -> None:
    probes = write(tmp_path / "probes.npy", ["bert", "carl", "carl", "emil"])
    gallery = write(tmp_path / "gallery.npy", ["anna", "bert", "carl"])
    result = search(probes, gallery, json=tmp_path / "out.json")
    assert (result.mated, result.unmated, result.rank[1]) == (3, 1, 1.0)
    assert result.notes[-1] == "people were told apart by the folders of their images' names"
    content = json.loads((tmp_path / "out.json").read_text())
    assert (content["kind"], content["name"], content["gallery_from"]) == ("search", "gallery", str(gallery))


def test_people_are_told_apart_by_labels_where_images_have_no_names(tmp_path: Path) -> None:
    probes = write(tmp_path / "probes.npy", ["anna", "bert"], named=False)
    gallery = write(tmp_path / "gallery.npy", ["anna", "bert", "carl"], named=False)
    result = search(probes, gallery)
    assert result.rank[1] == 1.0
    assert result.notes[-1] == "people were told apart by their labels"


def test_folders_that_are_not_there_cannot_tell_people_apart(tmp_path: Path) -> None:
    probes = write(tmp_path / "probes.npy", ["anna", "bert"], named=False)
    with pytest.raises(DataError, match="does not name its rows"):
        search(probes, probes, by="folder")


def test_another_way_to_tell_people_apart_is_refused(tmp_path: Path) -> None:
    probes = write(tmp_path / "probes.npy", ["anna", "bert"])
    with pytest.raises(DataError, match="'folder' or 'label'"):
        search(probes, probes, by="name")


def test_face_sets_of_a_model_are_matched_by_the_names_of_people(run: Run, tmp_path: Path) -> None:
    write_faces(tmp_path / "probes", range(3, 8), 2, size=32)
    write_faces(tmp_path / "gallery", range(0, 6), 1, size=32)
    result = search(tmp_path / "probes", tmp_path / "gallery", run.path, device="cpu", name="own")
    assert (result.mated, result.unmated, result.gallery) == (6, 4, 6)
    content = json.loads((run.results / "search-own.json").read_text())
    assert content["rank"]["1"] == result.rank[1]
