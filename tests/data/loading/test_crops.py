from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from facekd.data.image_set import Pixels
from facekd.data.loading.crops import Crop, ResizedCrop
from tests.data.loading.test_augmentation import augmented, noise_images


def padded_crop(image: Pixels, padding: int, top: int, left: int, mirrored: bool) -> Pixels:
    """Pad one image with black, crop the original size and mirror it, pixel by pixel."""
    size = len(image)
    out = np.zeros_like(image)
    for row, column in itertools.product(range(size), range(size)):
        y, x = row + top - padding, column + left - padding
        if 0 <= y < size and 0 <= x < size:
            out[row, size - 1 - column if mirrored else column] = image[y, x]
    return out


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_a_crop_is_what_a_plain_loop_cuts(padding: int) -> None:
    images = noise_images(300)
    crop = Crop(1, padding)
    params = crop.epoch_params(2, 300).params
    shifts = 2 * padding + 1
    seen = set()
    for image, shown, draw in zip(images, augmented(crop, images, params), params, strict=True):
        top, left, mirrored = int(draw[0] * shifts), int(draw[1] * shifts), bool(draw[2] < 0.5)
        np.testing.assert_array_equal(shown, padded_crop(image, padding, top, left, mirrored))
        seen |= {("top", top), ("left", left), ("mirrored", mirrored)}
    assert len(seen) == 2 * shifts + 2  # every shift, first and last included, and both mirrors came


def test_crops_of_the_same_kind_and_seed_are_equal_in_epoch_and_slot() -> None:
    crop = Crop(3)
    for epoch in range(3):
        of_epoch = crop.epoch_params(epoch, 20)
        of_slot = crop.slot_params(epoch, 20)
        assert of_epoch.cache_slot.tolist() == [epoch] * 20
        np.testing.assert_array_equal(of_epoch.params, of_slot.params)
        np.testing.assert_array_equal(of_epoch.cache_slot, of_slot.cache_slot)


def grid(height: int, width: int) -> Pixels:
    """Return an image whose colors are the row and the column of each pixel."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, 255)], 2).astype(np.uint8)


@pytest.mark.parametrize("shape", [(60, 60), (40, 200), (200, 40), (250, 250), (1, 1), (3, 90)])
def test_a_resized_crop_is_inside_the_image(shape: tuple[int, int]) -> None:
    augmentation = ResizedCrop(5)
    image = grid(*shape)
    for params in [*augmentation.epoch_params(1, 200).params, np.zeros(5), np.full(5, np.nextafter(1, 0))]:
        out = augmentation.prepare_image(image, 24, params, "")
        assert out.shape == (24, 24, 3) and out.dtype == np.uint8
        assert (out[..., 2] == 255).all()  # no padding
        assert out[..., 0].max() < shape[0] and out[..., 1].max() < shape[1]


def test_a_resized_crop_is_the_rectangle_that_its_params_describe() -> None:
    augmentation = ResizedCrop()
    image = grid(200, 240)
    areas = []
    ratios = []
    for params in augmentation.epoch_params(0, 400).params:
        out = augmentation.prepare_image(image, 16, params, "").astype(float)
        # 16 means of equal parts along each side: 15 steps between the first and the last
        height, width = ((out[-1, 0, 0] - out[0, 0, 0]) * 16 / 15, (out[0, -1, 1] - out[0, 0, 1]) * 16 / 15)
        areas.append(height * width / image[..., 0].size)
        ratios.append(width / height)
        area, ratio = 48_000 * (0.08 + 0.92 * params[3]), (4 / 3) ** (2 * params[4] - 1)
        wide, tall = math.sqrt(area * ratio), math.sqrt(area / ratio)
        assert (height, width) == (pytest.approx(min(tall, 200), abs=3), pytest.approx(min(wide, 240), abs=3))
    assert min(areas) < 0.12 and max(areas) > 0.85
    assert 0.7 < min(ratios) < 0.8 and 1.25 < max(ratios) < 1.45


def test_resized_crops_reach_all_four_corners() -> None:
    augmentation = ResizedCrop()
    image = grid(30, 30)
    corners = {
        (bool(out[0, 0, 0] <= 1), bool(out[0, 0, 1] <= 1), bool(out[-1, -1, 0] >= 28), bool(out[-1, -1, 1] >= 28))
        for out in (augmentation.prepare_image(image, 16, n, "") for n in augmentation.epoch_params(0, 300).params)
    }
    assert {any(c[edge] for c in corners) for edge in range(4)} == {True}


def test_a_resized_crop_is_the_same_again_and_differs_by_epoch() -> None:
    image = noise_images(1, 50)[0]

    def shown(epoch: int) -> Pixels:
        augmentation = ResizedCrop(7)
        params = augmentation.epoch_params(epoch, 3).params
        loaded = np.stack([augmentation.prepare_image(image, 16, n, "") for n in params])
        return augmented(augmentation, loaded, params)

    np.testing.assert_array_equal(shown(2), shown(2))
    assert (shown(2) != shown(3)).any()


def test_a_resized_crop_is_mirrored_by_half() -> None:
    images = noise_images(400, 4)
    augmentation = ResizedCrop(1)
    params = augmentation.epoch_params(0, 400).params
    mirrored = params[:, 2] < 0.5
    shown = augmented(augmentation, images, params)
    np.testing.assert_array_equal(shown[mirrored], images[mirrored][:, :, ::-1])
    np.testing.assert_array_equal(shown[~mirrored], images[~mirrored])
    assert 150 < mirrored.sum() < 250
