from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from facekd.errors import DataError
from facekd.evaluation.cross_model.feature_map import FeatureMap, MapFacts, MappedModel, read_map, write_map

MATRIX = np.arange(6, dtype=np.float32).reshape(3, 2) - 2
FACTS = MapFacts(
    old=MappedModel(name="old", sha256="a" * 64, dimension=3, size=112),
    new=MappedModel(name="new", sha256="b" * 64, dimension=2, size=96),
    method="ridge", regularization=0.1, flip=True, images=80, held_out_images=20, held_out_cosine=0.9)


@pytest.fixture
def feature_map() -> FeatureMap:
    return FeatureMap(MATRIX, np.array([0.5, -1], np.float32), FACTS)


def test_rows_of_any_length_are_mapped_to_unit_length(feature_map: FeatureMap) -> None:
    row = np.array([3.0, 0, 4])
    mapped = np.array([0.6, 0, 0.8]) @ MATRIX + [0.5, -1]
    converted = feature_map.convert(np.stack([row, 10 * row]))
    assert converted.dtype == np.float32
    assert converted == pytest.approx(np.stack([mapped / np.linalg.norm(mapped)] * 2))


def test_a_file_gives_the_map_back(feature_map: FeatureMap, tmp_path: Path) -> None:
    write_map(tmp_path / "m.safetensors", feature_map)
    again = read_map(tmp_path / "m.safetensors")
    assert again.facts == FACTS
    assert np.array_equal(again.matrix, MATRIX) and np.array_equal(again.offset, feature_map.offset)
    assert again.fingerprint == feature_map.fingerprint


def test_the_fingerprint_depends_on_the_models_and_on_the_numbers(feature_map: FeatureMap) -> None:
    other_model = FACTS.model_copy(update={"new": FACTS.old})
    others = [FeatureMap(MATRIX + 1, feature_map.offset, FACTS), FeatureMap(MATRIX, feature_map.offset, other_model)]
    assert len({feature_map.fingerprint, *(other.fingerprint for other in others)}) == 3


def test_an_absent_map_says_how_to_fit_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist; fit it with 'facekd convert --fit OLD NEW IMAGES"):
        read_map(tmp_path / "m.safetensors")


def header(**changes: str) -> dict[str, str]:
    return {"format": "facekd.map", "version": "1", "facts": json.dumps(FACTS.model_dump()), **changes}


@pytest.mark.parametrize(("change", "message"), [
    (lambda tensors, head: head.update(format="other"), "is no map of 'facekd convert --fit'"),
    (lambda tensors, head: head.update(version="2"), "is a map of version 2, this facekd reads 1"),
    (lambda tensors, head: head.update(facts="{}"), "is damaged: .* fit the map again"),
    (lambda tensors, head: head.update(facts="[]"), "is damaged"),
    (lambda tensors, head: head.update(facts="{"), "fit the map again"),
    (lambda tensors, head: tensors.update(matrix=MATRIX.T.copy()), r"'matrix' is no float32 \[3, 2\]"),
    (lambda tensors, head: tensors.update(matrix=MATRIX.astype(np.float64)), "'matrix' is no float32"),
    (lambda tensors, head: tensors.update(offset=np.array([np.nan, 0], np.float32)), "'offset' is no float32"),
    (lambda tensors, head: tensors.pop("offset"), "'offset' is no float32"),
])
def test_a_damaged_or_foreign_file_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any], dict[str, str]], Any], message: str
) -> None:
    tensors, head = {"matrix": MATRIX, "offset": np.zeros(2, np.float32)}, header()
    change(tensors, head)
    save_file(tensors, tmp_path / "m.safetensors", head)
    with pytest.raises(DataError, match=message):
        read_map(tmp_path / "m.safetensors")


def test_what_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(b"no")
    with pytest.raises(DataError, match="cannot be read as safetensors"):
        read_map(tmp_path / "m.safetensors")
