from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.data.image_set import Pixels
from facekd.data.loading.augmentation import (
    NUM_PARAMS,
    Augmentation,
    AugmentationParams,
    CenterCrop,
    Crop,
    Flip,
    NoAugmentation,
    ResizedCrop,
)
from facekd.data.transforms import center_crop, resize
from facekd.errors import DataError

SIZE = 8
RANDOM = {"flip": Flip, "crop": Crop, "resized-crop": ResizedCrop}


def noise_images(count: int, size: int = SIZE) -> Pixels:
    """Return noise without black pixels, so that padding is recognizable."""
    return np.random.default_rng(0).integers(1, 256, (count, size, size, 3), np.uint8)


def augmented(augmentation: Augmentation, images: Pixels, params: NDArray[np.float64]) -> Pixels:
    return augmentation.augment_batch(torch.from_numpy(images.copy()), params).numpy()


def padded_crop(image: Pixels, padding: int, top: int, left: int, mirrored: bool) -> Pixels:
    """Pad one image with black, crop the original size and mirror it, pixel by pixel."""
    size = len(image)
    out = np.zeros_like(image)
    for row, column in itertools.product(range(size), range(size)):
        y, x = row + top - padding, column + left - padding
        if 0 <= y < size and 0 <= x < size:
            out[row, size - 1 - column if mirrored else column] = image[y, x]
    return out


@pytest.mark.parametrize("kind", RANDOM)
def test_a_version_follows_from_seed_epoch_and_index_alone(kind: str) -> None:
    make = RANDOM[kind]
    long = make(3).epoch_params(5, 100)
    short = make(3).epoch_params(5, 17)
    np.random.seed(1)
    np.testing.assert_array_equal(short.params, long.params[:17])
    np.testing.assert_array_equal(short.cache_slot, long.cache_slot[:17])
    np.testing.assert_array_equal(make(3).epoch_params(5, 100).params, long.params)


@pytest.mark.parametrize("kind", RANDOM)
def test_seeds_and_epochs_have_versions_of_their_own(kind: str) -> None:
    drawn = [RANDOM[kind](seed).epoch_params(epoch, 50).params for seed in range(4) for epoch in range(4)]
    assert len({values.tobytes() for values in drawn}) == 16


@pytest.mark.parametrize("kind", RANDOM)
def test_params_are_uniform(kind: str) -> None:
    params = RANDOM[kind]().epoch_params(0, 10_000).params
    assert params.shape == (10_000, NUM_PARAMS) and params.dtype == np.float64
    np.testing.assert_allclose(params.mean(0), 0.5, atol=0.015)
    np.testing.assert_allclose(params.std(0), 12**-0.5, atol=0.01)
    assert params.min() >= 0 and params.max() < 1
    np.testing.assert_allclose(np.corrcoef(params.T), np.eye(NUM_PARAMS), atol=0.05)


def test_keys_differ_where_a_teacher_would_see_different_images() -> None:
    kinds = [NoAugmentation(), Flip(), Crop(), Crop(1), Crop(0, 2), ResizedCrop(), ResizedCrop(1)]
    assert len({kind.key for kind in kinds}) == len(kinds)
    assert Flip(1).key == Flip(0).key  # the seed decides when an image is mirrored, but not how it looks then


def test_plain_shows_every_image_as_it_is() -> None:
    images = noise_images(4)
    params = NoAugmentation().epoch_params(7, 4)
    assert params.cache_slot.tolist() == [0] * 4
    np.testing.assert_array_equal(augmented(NoAugmentation(), images, params.params), images)


def test_the_base_class_cannot_be_used_itself() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Augmentation()  # type: ignore[abstract]


def test_a_center_crop_is_that_of_the_evaluation_whatever_the_params() -> None:
    image = noise_images(1, 40)[0, :30]
    augmentation = CenterCrop()
    for params in (np.zeros(NUM_PARAMS), np.full(NUM_PARAMS, 0.9)):
        np.testing.assert_array_equal(augmentation.prepare_image(image, 16, params, ""), center_crop(image, 16))
    assert augmentation.is_cacheable and augmentation.key != NoAugmentation.key


def test_flip_mirrors_about_half_and_puts_them_into_slot_1() -> None:
    images = noise_images(1000, 2)
    params = Flip(2).epoch_params(4, 1000)
    slots = params.cache_slot
    assert 430 < slots.sum() < 570 and set(slots.tolist()) == {0, 1}
    for image, shown, slot in zip(images, augmented(Flip(2), images, params.params), slots, strict=True):
        np.testing.assert_array_equal(shown, image[:, ::-1] if slot else image)


@pytest.mark.parametrize("slot", [0, 1])
def test_a_slot_of_flip_holds_one_of_the_two_noise_images(slot: int) -> None:
    images = noise_images(5)
    params = Flip().slot_params(slot, 5)
    assert params.cache_slot.tolist() == [slot] * 5
    shown = augmented(Flip(), images, params.params)
    np.testing.assert_array_equal(shown, images[:, :, ::-1] if slot else images)


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


@pytest.mark.parametrize("augmentation", [NoAugmentation(), Flip(), Crop()], ids=lambda a: a.key)
def test_what_is_not_square_is_refused(augmentation: Augmentation) -> None:
    message = r"a/b\.jpg is 30x20, square.*facekd align.*data\.augmentation\.kind=resized-crop"
    with pytest.raises(DataError, match=message):
        augmentation.prepare_image(np.zeros((20, 30, 3), np.uint8), 32, np.full(NUM_PARAMS, 0.5), "a/b.jpg")


@pytest.mark.parametrize("augmentation", [NoAugmentation(), Flip(), Crop()], ids=lambda a: a.key)
def test_an_image_of_another_size_is_resized_the_same_way_whatever_the_version(augmentation: Augmentation) -> None:
    image = noise_images(1, 40)[0]
    for params in augmentation.epoch_params(0, 4).params:
        np.testing.assert_array_equal(augmentation.prepare_image(image, 16, params, ""), resize(image, 16))


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


@pytest.mark.parametrize("augmentation", [NoAugmentation(), Flip(), Crop(), ResizedCrop()], ids=lambda a: a.key)
def test_a_batch_is_augmented_on_its_own_device(augmentation: Augmentation) -> None:
    """``meta`` stands in for an accelerator: it computes nothing, but cannot be mixed with the CPU."""
    params: AugmentationParams = augmentation.epoch_params(0, 3)
    shown = augmentation.augment_batch(torch.zeros(3, SIZE, SIZE, 3, dtype=torch.uint8, device="meta"), params.params)
    assert (shown.device.type, shown.dtype, shown.shape) == ("meta", torch.uint8, (3, SIZE, SIZE, 3))
