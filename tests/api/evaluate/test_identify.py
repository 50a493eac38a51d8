from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekd.api.evaluate.identify import identify
from facekd.data.feature_set import FeatureSet
from facekd.data.features.opening import open_features, write_features
from facekd.data.features.provenance import write_provenance
from facekd.data.synthetic.dataset import write_faces
from facekd.errors import DataError, ModelError
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
    gallery = write(tmp_path / "gallery.npy", ["anna", "bert", "carl"], with_names=False)
    with pytest.raises(DataError, match="does not name its rows"):
        identify(probes, gallery, identity_from="folder")


def test_another_source_of_identities_is_refused(tmp_path: Path) -> None:
    probes = write(tmp_path / "probes.npy", ["anna", "bert"])
    gallery = write(tmp_path / "gallery.npy", ["anna", "bert", "carl"])
    with pytest.raises(DataError, match="'folder' or 'label'"):
        identify(probes, gallery, identity_from="name")


def name_model(path: Path, model: str) -> None:
    """Note that a model made a feature file."""
    identity = {"model": model * 64, "flip": True, "size": 112, "images": path.stem, "rows": 0}
    write_provenance(path, identity, f"model {model}", {})


@pytest.fixture
def of_two_models(tmp_path: Path) -> tuple[Path, Path]:
    """Probes of a student and the gallery of its teacher."""
    probes = write(tmp_path / "probes.npy", ["bert", "carl", "carl", "emil"])
    gallery = write(tmp_path / "gallery.npy", ["anna", "bert", "carl"])
    name_model(probes, "5")
    name_model(gallery, "7")
    return probes, gallery


def test_probes_of_one_model_in_the_gallery_of_another_are_refused(of_two_models: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match=r"model 5 \(55555555\), the gallery .* of model 7 \(77777777\)"):
        identify(*of_two_models)


def test_across_models_is_said_in_the_result_and_in_its_lines(
    of_two_models: tuple[Path, Path], tmp_path: Path, run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--probes", of_two_models[0], "--gallery", of_two_models[1], "--json", tmp_path / "out.json")
    assert run_cli("eval", "identify", *words) == 2
    assert run_cli("eval", "identify", *words, "--across") == 0
    assert "across models: the probes are of model 5" in capsys.readouterr().out
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["across"] is True
    assert content["models"]["gallery"] == {"name": "model 7", "sha256": "7" * 64}


def test_the_gallery_as_probes_is_refused(tmp_path: Path) -> None:
    gallery = write(tmp_path / "gallery.npy", ["anna", "bert", "carl"])
    with pytest.raises(DataError, match="is given both as the probes and as the gallery"):
        identify(gallery, gallery)
    copy = write(tmp_path / "copy.npy", ["anna", "bert", "carl"])
    with pytest.raises(DataError, match="probes and gallery are one and the same set"):
        identify(copy, gallery)


def test_the_images_of_the_gallery_as_probes_are_refused(run: Run, tmp_path: Path) -> None:
    for name in ("probes", "gallery"):
        write_faces(tmp_path / name, range(3), 2, size=32)
    with pytest.raises(DataError, match="probes and gallery are one and the same set"):
        identify(tmp_path / "probes", tmp_path / "gallery", model=run.path, device="cpu")


@pytest.mark.parametrize(("arguments", "option"), [
    ({"flip": False}, "--no-flip"), ({"device": "cpu"}, "--device"), ({"pixels": "raw"}, "--pixels"),
    ({"model": "m", "identity_from": "label"}, "--identity-from"), ({"model": "m", "across": True}, "--across"),
])
def test_an_argument_without_an_effect_is_refused(arguments: dict[str, Any], option: str) -> None:
    with pytest.raises(ModelError, match=f"{option} has no effect"):
        identify("p.npy", "g.npy", **arguments)


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_a_result_that_would_replace_an_input_is_refused(of_two_models: tuple[Path, Path], suffix: str) -> None:
    """Beside a feature file lies its provenance under the same name."""
    with pytest.raises(DataError, match="would replace an input or what belongs to it"):
        identify(*of_two_models, across=True, json=of_two_models[1].with_suffix(suffix))


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
