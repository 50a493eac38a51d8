from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facekd.models.registry import ModelSpec, Network
from facekd.models.torch_embedder import TorchEmbedder, weights_fingerprint


class SmallNetwork(Network):
    def __init__(self) -> None:
        super().__init__()
        self.spec = ModelSpec("small", 16, 4)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, bias=False), nn.BatchNorm2d(6), nn.Flatten(), nn.Dropout(0.5), nn.Linear(294, 4)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


@pytest.fixture
def model() -> SmallNetwork:
    torch.manual_seed(0)
    return SmallNetwork()


def test_embeddings_equal_those_in_double_precision(model: SmallNetwork) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    embedder = TorchEmbedder(model, batch_size=4)
    pixels = torch.from_numpy(((crops.astype(np.float64) - 127.5) / 127.5).transpose(0, 3, 1, 2).copy())
    embeddings = embedder.forward(crops)
    expected = model.double()(pixels).detach().numpy()
    assert (embeddings.dtype, embedder.size, embedder.dimension) == (np.float32, 16, 4)
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)


def test_inference_does_not_change_the_model(model: SmallNetwork) -> None:
    before = weights_fingerprint(model.state_dict())
    embedder = TorchEmbedder(model)
    embedder.embed(np.zeros((3, 16, 16, 3), np.uint8))
    assert weights_fingerprint(model.state_dict()) == before == embedder.fingerprint


def test_the_embedding_of_a_face_and_its_mirror_is_one(model: SmallNetwork) -> None:
    crops = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    embedder = TorchEmbedder(model)
    np.testing.assert_allclose(embedder.embed(crops), embedder.embed(crops[:, :, ::-1]), atol=1e-6)


def test_embeddings_without_normalization_are_the_sum_of_image_and_mirror(model: SmallNetwork) -> None:
    crops = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    embedder = TorchEmbedder(model)
    one, other = embedder.forward(crops), embedder.forward(crops[:, :, ::-1])
    np.testing.assert_allclose(embedder.embed(crops, normalize=False), one + other, atol=1e-5)
    np.testing.assert_array_equal(embedder.embed(crops, flip=False, normalize=False), one)


def test_fingerprint_is_sha256_over_sorted_names_and_bytes() -> None:
    state = {"b": torch.tensor([1.5, 2.0]), "a": torch.tensor(3)}
    expected = hashlib.sha256(b"a" + np.int64(3).tobytes() + b"b" + np.array([1.5, 2.0], np.float32).tobytes())
    assert weights_fingerprint(state) == expected.hexdigest()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64])
def test_fingerprint_takes_every_type_and_shows_a_changed_weight(dtype: torch.dtype) -> None:
    one, two = torch.ones(3, dtype=dtype), torch.tensor([1, 1, 2], dtype=dtype)
    assert weights_fingerprint({"a": one}) != weights_fingerprint({"a": two})
