from __future__ import annotations

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
    Flip,
    NoAugmentation,
)
from facekd.data.loading.crops import Crop, ResizedCrop
from facekd.data.transforms import center_crop, resize
from facekd.errors import DataError

SIZE = 8
RANDOM = {"flip": Flip, "crop": Crop, "resized-crop": ResizedCrop}


def noise_images(count: int, size: int = SIZE) -> Pixels:
    """Return noise without black pixels, so that padding is recognizable."""
    return np.random.default_rng(0).integers(1, 256, (count, size, size, 3), np.uint8)


def augmented(augmentation: Augmentation, images: Pixels, params: NDArray[np.float64]) -> Pixels:
    return augmentation.augment_batch(torch.from_numpy(images.copy()), params).numpy()


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


@pytest.mark.parametrize("augmentation", [NoAugmentation(), Flip(), Crop(), ResizedCrop()], ids=lambda a: a.key)
def test_a_batch_is_augmented_on_its_own_device(augmentation: Augmentation) -> None:
    """``meta`` stands in for an accelerator: it computes nothing, but cannot be mixed with the CPU."""
    params: AugmentationParams = augmentation.epoch_params(0, 3)
    shown = augmentation.augment_batch(torch.zeros(3, SIZE, SIZE, 3, dtype=torch.uint8, device="meta"), params.params)
    assert (shown.device.type, shown.dtype, shown.shape) == ("meta", torch.uint8, (3, SIZE, SIZE, 3))
