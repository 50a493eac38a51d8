"""A new and an old model: untrained networks of one embedding length and of another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facekd.evaluation.cross_model.feature_map import FeatureMap, MapFacts, MappedModel, write_map
from facekd.models.loading import load
from facekd.models.registry import create
from facekd.models.weights import save_model


def save_network(path: Path, seed: int, outputs: int) -> Path:
    """Write an untrained network with an input of 32 px."""
    torch.manual_seed(seed)
    save_model(create("mobilenetv2", size=32, outputs=outputs, expansion=2, width=0.25), path)
    return path


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """The new model, 16 numbers an embedding."""
    return save_network(tmp_path / "new.safetensors", 1, 16)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The old model, 16 numbers an embedding."""
    return save_network(tmp_path / "old.safetensors", 2, 16)


@pytest.fixture
def longer(tmp_path: Path) -> Path:
    """An old model of another length, 24 numbers an embedding."""
    return save_network(tmp_path / "longer.safetensors", 3, 24)


@pytest.fixture
def map_file(new: Path, longer: Path, tmp_path: Path) -> Path:
    """A map from ``longer`` to ``new``: the first 16 numbers."""
    models = {role: MappedModel(name=role, sha256=load(path).fingerprint, dimension=length, size=32)
              for role, path, length in (("old", longer, 24), ("new", new, 16))}
    facts = MapFacts(old=models["old"], new=models["new"], method="ridge", regularization=0.1, flip=True, images=80,
                     held_out_images=20, held_out_cosine=0.5)
    feature_map = FeatureMap(np.eye(24, 16, dtype=np.float32), np.zeros(16, np.float32), facts)
    write_map(tmp_path / "map.safetensors", feature_map)
    return tmp_path / "map.safetensors"
