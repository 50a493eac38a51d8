from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.deploy.source import TINY, ExportFormat, prepare_source
from facekd.errors import ExportError
from facekd.models.preprocessing import normalize_images
from facekd.models.registry import Network, create


def test_pixels_are_scaled_as_insightface_scales_them() -> None:
    pixels = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
    expected = (pixels.astype(np.float64) - 127.5) / 127.5
    np.testing.assert_allclose(ExportFormat().preprocess(pixels).transpose(0, 2, 3, 1), expected, atol=1e-7)
    normalized = normalize_images(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(normalized.transpose(0, 2, 3, 1), expected, atol=1e-7)
    np.testing.assert_array_equal(ExportFormat("uint8").preprocess(pixels).transpose(0, 2, 3, 1), pixels)


@pytest.mark.parametrize("split_prelu", [False, True])
@pytest.mark.parametrize("file_format", [
    ExportFormat(), ExportFormat("uint8"), ExportFormat("float", True), ExportFormat("uint8", True)
])
def test_the_exported_module_gives_the_embeddings_of_the_network(
    tiny_network: Network, crops: NDArray[np.uint8], file_format: ExportFormat, split_prelu: bool
) -> None:
    source = prepare_source(tiny_network, file_format, "tiny")
    with torch.no_grad():
        embeddings = source.export_module(split_prelu)(torch.from_numpy(file_format.preprocess(crops))).numpy()
    expected = source.embed(crops)
    length = np.linalg.norm(expected, axis=1, keepdims=True) if file_format.l2_normalized else 1
    np.testing.assert_allclose(embeddings, expected / length, atol=1e-5)


def test_the_network_is_left_as_it_was(make_tiny_network: Callable[[int], Network]) -> None:
    model, fresh = make_tiny_network(32).train(), make_tiny_network(32)
    with torch.no_grad():
        next(model.parameters())[0, 0, 0, 0] = 1e-40
    before = [value.clone() for value in model.state_dict().values()]
    prepare_source(model, ExportFormat(), "tiny").export_module(split_prelu=True)
    assert [type(m) for m in model.modules()] == [type(m) for m in fresh.modules()]
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))
    assert model.training and all(p.requires_grad for p in model.parameters())


def test_denormals_become_zero_and_the_rest_stays(make_tiny_network: Callable[[int], Network]) -> None:
    model = make_tiny_network(32)
    with torch.no_grad():
        next(model.parameters())[0, 0, 0] = torch.tensor([1e-40, -1e-40, TINY])
    weight = next(prepare_source(model, ExportFormat(), "tiny").network.parameters())
    assert weight[0, 0, 0].tolist() == [0.0, 0.0, TINY]
    assert torch.equal(weight[1:], next(model.parameters())[1:])


def test_crops_of_another_size_are_refused(tiny_network: Network) -> None:
    with pytest.raises(ExportError, match="112"):
        prepare_source(tiny_network, ExportFormat(), "tiny", np.zeros((2, 64, 64, 3), np.uint8))


def test_a_network_with_another_normalization_is_refused() -> None:
    model = create("mobilenetv2", size=32, outputs=8, normalization="cifar100")
    with pytest.raises(ExportError, match="pixels scaled as 'cifar100'"):
        prepare_source(model, ExportFormat(), "m")
