"""Maps are fitted and used: features of an old model become features of a new one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from facekd.api.convert import convert, fit_map
from facekd.api.embed import embed
from facekd.api.evaluate.identify import identify
from facekd.data.features.opening import open_features, write_features
from facekd.data.features.provenance import read_provenance
from facekd.data.synthetic.dataset import write_faces
from facekd.errors import DataError, ModelError
from facekd.evaluation.cross_model.feature_map import read_map
from facekd.models.loading import load
from facekd.models.registry import create
from facekd.models.weights import save_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An old model with 12 numbers an embedding, and a new one with 8."""
    folder = tmp_path_factory.mktemp("models")
    for name, seed, outputs in (("old", 1, 12), ("new", 2, 8)):
        torch.manual_seed(seed)
        network = create("mobilenetv2", size=32, outputs=outputs, expansion=2, width=0.25)
        save_model(network, folder / f"{name}.safetensors")
    return folder / "old.safetensors", folder / "new.safetensors"


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 crops of 12 people."""
    folder = tmp_path_factory.mktemp("crops") / "crops"
    write_faces(folder, range(12), 3, size=32)
    return folder


@pytest.fixture(scope="module")
def map_file(models: tuple[Path, Path], crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("map") / "map.safetensors"
    fit_map(*models, crops, file, device="cpu", json=file.with_suffix(".json"))
    return file


@pytest.fixture
def gallery(models: tuple[Path, Path], crops: Path, tmp_path: Path) -> Path:
    """Features of the crops by the old model."""
    embed(crops, tmp_path / "gallery.npy", models[0], device="cpu")
    return tmp_path / "gallery.npy"


def test_a_map_records_its_models_and_images(map_file: Path, models: tuple[Path, Path]) -> None:
    facts = read_map(map_file).facts
    assert (facts.old.sha256, facts.new.sha256) == tuple(load(model).fingerprint for model in models)
    assert (facts.old.dimension, facts.new.dimension, facts.method) == (12, 8, "ridge")
    assert (facts.images, facts.held_out_images, facts.flip) == (30, 6, True)  # 10 and 2 of the 12 people


def test_the_recorded_cosine_is_that_of_the_held_out_images(
    map_file: Path, models: tuple[Path, Path], crops: Path, gallery: Path, tmp_path: Path
) -> None:
    feature_map = read_map(map_file)
    old = open_features(gallery).all_l2_normalized_rows()
    embed(crops, tmp_path / "new.npy", models[1], device="cpu")
    new = open_features(tmp_path / "new.npy").all_l2_normalized_rows()
    cosines = np.einsum("ij,ij->i", feature_map.convert(old), new).reshape(12, 3).mean(axis=1)
    recorded = feature_map.facts.held_out_cosine
    assert np.abs([(one + other) / 2 - recorded for one in cosines for other in cosines]).min() < 1e-4
    assert json.loads(map_file.with_suffix(".json").read_text())["held_out_cosine"] == recorded


def test_converted_features_keep_labels_and_names_and_say_what_they_are(
    map_file: Path, gallery: Path, tmp_path: Path
) -> None:
    assert convert(gallery, tmp_path / "out.npy", map_file) == 36
    old, converted = open_features(gallery), open_features(tmp_path / "out.npy")
    expected = read_map(map_file).convert(old.all_l2_normalized_rows())
    assert np.load(tmp_path / "out.npy") == pytest.approx(expected, abs=1e-6)
    assert converted.labels is not None and converted.labels.tolist() == np.repeat(np.arange(12), 3).tolist()
    assert converted.image_names == old.image_names
    made = read_provenance(tmp_path / "out.npy")
    assert made is not None
    assert (made.model, made.name) == (read_map(map_file).fingerprint, "old mapped to new")


def test_a_converted_gallery_is_of_another_model_than_the_probes(
    map_file: Path, models: tuple[Path, Path], gallery: Path, tmp_path: Path
) -> None:
    convert(gallery, tmp_path / "out.npy", map_file)
    write_faces(tmp_path / "door", range(6, 18), 2, size=32)
    embed(tmp_path / "door", tmp_path / "door.npy", models[1], device="cpu")
    with pytest.raises(DataError, match="of different models mean nothing"):
        identify(tmp_path / "door.npy", tmp_path / "out.npy")
    assert identify(tmp_path / "door.npy", tmp_path / "out.npy", across=True).mated == 12


def test_features_of_another_model_are_refused(
    map_file: Path, models: tuple[Path, Path], crops: Path, tmp_path: Path
) -> None:
    embed(crops, tmp_path / "new.npy", models[1], device="cpu")
    with pytest.raises(DataError, match=r"is of the model new .*, the map is from old"):
        convert(tmp_path / "new.npy", tmp_path / "out.npy", map_file)


def test_features_of_another_length_are_refused(map_file: Path, tmp_path: Path) -> None:
    write_features(tmp_path / "f.npy", np.ones((3, 5), np.float32))
    with pytest.raises(DataError, match=r"has 5 numbers a row, the map is from old .* with 12"):
        convert(tmp_path / "f.npy", tmp_path / "out.npy", map_file)


def test_features_of_another_program_are_converted_with_a_note(
    map_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_features(tmp_path / "f.npy", np.eye(3, 12, dtype=np.float32))
    convert(tmp_path / "f.npy", tmp_path / "out.npy", map_file)
    assert "is not checked: no NAME.json" in capsys.readouterr().err


def test_features_that_were_embedded_otherwise_give_a_note(
    map_file: Path, models: tuple[Path, Path], crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    embed(crops, tmp_path / "f.npy", models[0], flip=False, device="cpu")
    convert(tmp_path / "f.npy", tmp_path / "out.npy", map_file)
    assert "was embedded without mirror images, the map was fitted with mirror images" in capsys.readouterr().err


def test_the_output_must_be_another_file(map_file: Path, gallery: Path) -> None:
    with pytest.raises(DataError, match="as the features and as the output"):
        convert(gallery, gallery, map_file)


def test_a_map_of_one_model_is_refused(models: tuple[Path, Path], crops: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="are one model, whose features need no map"):
        fit_map(models[0], models[0], crops, tmp_path / "m.safetensors")


def test_a_map_has_the_ending_of_its_format(models: tuple[Path, Path], crops: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a map ends in \.safetensors"):
        fit_map(*models, crops, tmp_path / "m.npy")


def test_images_without_labels_fit_a_map(models: tuple[Path, Path], crops: Path, tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    for number, file in enumerate(sorted(crops.rglob("*.jpg"))):
        (loose / f"{number}.jpg").write_bytes(file.read_bytes())
    result = fit_map(*models, loose, tmp_path / "m.safetensors", device="cpu")
    assert result.people is None
    assert "nothing is verified: that needs labels" in result.describe()
