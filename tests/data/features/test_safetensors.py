from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from facekd.data.feature_set import ArrayFeatures
from facekd.data.features.opening import open_features
from facekd.data.features.safetensors import TensorFeatures, integer_labels, open_safetensors
from facekd.errors import DataError
from tests.data.features.random_features import unit_features


@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.float64, torch.bfloat16, torch.int8])
def test_tensors_of_all_types_are_read(tmp_path: Path, kind: torch.dtype) -> None:
    raw = torch.from_numpy(unit_features() * 100).to(kind)
    save_file({"features": raw, "labels": torch.arange(10, dtype=torch.int32), "other": torch.ones(3, 3)},
              tmp_path / "f.safetensors")
    features = open_safetensors(tmp_path / "f.safetensors")
    assert features.read_rows(2, 9).dtype == np.float32
    assert np.array_equal(features.read_rows(2, 9), raw[2:9].float().numpy())
    assert features.labels is not None and features.labels.tolist() == list(range(10))


def expected_file(header: dict[str, object], data: bytes) -> bytes:
    """Return a safetensors file made from the format's description."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_the_only_matrix_of_a_file_made_by_hand_is_read(tmp_path: Path) -> None:
    values = unit_features(3).astype("<f2")
    header: dict[str, object] = {"emb": {"dtype": "F16", "shape": [3, 8], "data_offsets": [0, 48]}}
    (tmp_path / "f.safetensors").write_bytes(expected_file(header, values.tobytes()))
    (tmp_path / "f.names.txt").write_text("a\nb\nc\n")
    assert np.array_equal(open_safetensors(tmp_path / "f.safetensors").read_rows(0, 3), values.astype(np.float32))
    features = open_features(tmp_path / "f.safetensors")
    assert np.array_equal(features.read_rows(0, 3), values.astype(np.float32))
    assert features.image_names == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": torch.ones(2, 2), "b": torch.ones(3, 2)}, r"it holds a float32 \[2, 2\], b float32 \[3, 2\]"),
        ({"features": torch.ones(4)}, r"it holds features float32 \[4\]"),
        ({"features": torch.ones(4, 2, dtype=torch.int16)}, r"it holds features int16 \[4, 2\]"),
        ({"features": torch.ones(4, 2), "labels": torch.ones(4, dtype=torch.bfloat16)}, "needs whole numbers"),
        ({"features": torch.ones(4, 2), "labels": torch.ones(3, dtype=torch.int64)}, r"holds int64 \(3,\); f\.safe"),
    ],
)
def test_other_tensors_are_refused(tmp_path: Path, tensors: dict[str, torch.Tensor], message: str) -> None:
    save_file(tensors, tmp_path / "f.safetensors")
    with pytest.raises(DataError, match=message):
        open_safetensors(tmp_path / "f.safetensors")


def test_tensor_features_have_the_tensors_rows_and_dimension() -> None:
    features = TensorFeatures(torch.from_numpy(unit_features(6)), Path("memory"))
    assert (len(features), features.dimension, features.labels) == (6, 8, None)
    assert np.array_equal(features.read_rows(2, 4), unit_features(6)[2:4])


@pytest.mark.parametrize("kind", ["int8", "uint16", "int32", "int64"])
def test_integer_labels_of_all_types_become_int64(kind: str) -> None:
    labels = integer_labels(np.arange(10).astype(kind), "labels", ArrayFeatures(unit_features()))
    assert labels.dtype == np.int64 and labels.tolist() == list(range(10))


@pytest.mark.parametrize("kind", ["float32", "bool"])
def test_other_labels_are_refused(kind: str) -> None:
    with pytest.raises(DataError, match=rf"f\.npy holds {kind} \(10,\); features needs whole numbers \(10,\)"):
        integer_labels(np.arange(10).astype(kind), "f.npy", ArrayFeatures(unit_features()))
