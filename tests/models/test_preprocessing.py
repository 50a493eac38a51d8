from __future__ import annotations

import numpy as np
import pytest
import torch

from facekd.models.preprocessing import NORMALIZATIONS, normalize_images


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_images_are_scaled_per_channel(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3), dtype=np.uint8)
    mean, std = (np.array(channels) for channels in NORMALIZATIONS[name])
    expected = ((images.astype(np.float64) - mean) / std).transpose(0, 3, 1, 2)
    normalized = normalize_images(torch.from_numpy(images), name)
    assert normalized.dtype == torch.float32
    np.testing.assert_allclose(normalized.numpy(), expected, atol=1e-5)


def test_unit_gives_minus_1_to_1() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).view(1, 2, 1, 1).expand(1, 2, 2, 3)
    assert normalize_images(images).aminmax() == (-1, 1)


def test_imagenet_is_the_published_mean_and_deviation() -> None:
    # torchvision's constants, for pixels in [0, 1].
    mean, std = NORMALIZATIONS["imagenet"]
    assert [value / 255 for value in mean] == pytest.approx([0.485, 0.456, 0.406])
    assert [value / 255 for value in std] == pytest.approx([0.229, 0.224, 0.225])


def test_the_result_is_channels_last_and_the_images_do_not_change() -> None:
    images = torch.full((2, 4, 4, 3), 7, dtype=torch.uint8)
    assert normalize_images(images).is_contiguous(memory_format=torch.channels_last)
    assert bool((images == 7).all())
