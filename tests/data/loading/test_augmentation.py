from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.data.image_set import Pixels
from facekd.data.loading.augmentation import COLUMNS, Augmentation, Crop, Flip, ResizedCrop, Versions
from facekd.data.transforms import resize
from facekd.errors import DataError

SIZE = 8
SEEDED = {"flip": Flip, "crop": Crop, "resized-crop": ResizedCrop}


def pictures(count: int, size: int = SIZE) -> Pixels:
    """Noise without black pixels, so that padding shows."""
    return np.random.default_rng(0).integers(1, 256, (count, size, size, 3), np.uint8)


def rendered(augmentation: Augmentation, images: Pixels, numbers: NDArray[np.float64]) -> Pixels:
    return augmentation.render(torch.from_numpy(images.copy()), numbers).numpy()


def padded_cut(image: Pixels, padding: int, top: int, left: int, mirrored: bool) -> Pixels:
    """One image pixel by pixel: black all around, a cut of the old size, mirrored."""
    size = len(image)
    out = np.zeros_like(image)
    for row, column in itertools.product(range(size), range(size)):
        y, x = row + top - padding, column + left - padding
        if 0 <= y < size and 0 <= x < size:
            out[row, size - 1 - column if mirrored else column] = image[y, x]
    return out


@pytest.mark.parametrize("kind", SEEDED)
def test_a_version_follows_from_seed_epoch_and_index_alone(kind: str) -> None:
    make = SEEDED[kind]
    whole, part = make(3).epoch(5, 100), make(3).epoch(5, 17)
    np.random.seed(1)
    np.testing.assert_array_equal(part.numbers, whole.numbers[:17])
    np.testing.assert_array_equal(part.slot, whole.slot[:17])
    np.testing.assert_array_equal(make(3).epoch(5, 100).numbers, whole.numbers)


@pytest.mark.parametrize("kind", SEEDED)
def test_seeds_and_epochs_have_versions_of_their_own(kind: str) -> None:
    drawn = [SEEDED[kind](seed).epoch(epoch, 50).numbers for seed in range(4) for epoch in range(4)]
    assert len({values.tobytes() for values in drawn}) == 16


@pytest.mark.parametrize("kind", SEEDED)
def test_numbers_are_uniform(kind: str) -> None:
    numbers = SEEDED[kind]().epoch(0, 10_000).numbers
    assert numbers.shape == (10_000, COLUMNS) and numbers.dtype == np.float64
    np.testing.assert_allclose(numbers.mean(0), 0.5, atol=0.015)
    np.testing.assert_allclose(numbers.std(0), 12**-0.5, atol=0.01)
    assert numbers.min() >= 0 and numbers.max() < 1
    np.testing.assert_allclose(np.corrcoef(numbers.T), np.eye(COLUMNS), atol=0.05)


def test_keys_tell_apart_what_a_teacher_would_answer_differently_to() -> None:
    kinds = [Augmentation(), Flip(), Crop(), Crop(1), Crop(0, 2), ResizedCrop(), ResizedCrop(1)]
    assert len({kind.key for kind in kinds}) == len(kinds)
    assert Flip(1).key == Flip(0).key  # only which image is mirrored when depends on the seed, not the two pictures


def test_plain_shows_every_image_as_it_is() -> None:
    images, versions = pictures(4), Augmentation().epoch(7, 4)
    assert versions.slot.tolist() == [0] * 4
    np.testing.assert_array_equal(rendered(Augmentation(), images, versions.numbers), images)


def test_flip_mirrors_about_half_and_puts_them_into_slot_1() -> None:
    images, versions = pictures(1000, 2), Flip(2).epoch(4, 1000)
    assert 430 < versions.slot.sum() < 570 and set(versions.slot.tolist()) == {0, 1}
    for image, shown, slot in zip(images, rendered(Flip(2), images, versions.numbers), versions.slot, strict=True):
        np.testing.assert_array_equal(shown, image[:, ::-1] if slot else image)


@pytest.mark.parametrize("slot", [0, 1])
def test_a_slot_of_flip_holds_one_of_the_two_pictures(slot: int) -> None:
    images, versions = pictures(5), Flip().slot(slot, 5)
    assert versions.slot.tolist() == [slot] * 5
    shown = rendered(Flip(), images, versions.numbers)
    np.testing.assert_array_equal(shown, images[:, :, ::-1] if slot else images)


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_a_crop_is_what_a_plain_loop_cuts(padding: int) -> None:
    images, crop = pictures(300), Crop(1, padding)
    numbers = crop.epoch(2, 300).numbers
    shifts = 2 * padding + 1
    seen = set()
    for image, shown, draw in zip(images, rendered(crop, images, numbers), numbers, strict=True):
        top, left, mirrored = int(draw[0] * shifts), int(draw[1] * shifts), bool(draw[2] < 0.5)
        np.testing.assert_array_equal(shown, padded_cut(image, padding, top, left, mirrored))
        seen |= {("top", top), ("left", left), ("mirrored", mirrored)}
    assert len(seen) == 2 * shifts + 2  # every shift, first and last included, and both mirrors came


def test_crops_of_the_same_kind_and_seed_are_equal_in_epoch_and_slot() -> None:
    crop = Crop(3)
    for epoch in range(3):
        shown, kept = crop.epoch(epoch, 20), crop.slot(epoch, 20)
        assert shown.slot.tolist() == [epoch] * 20
        np.testing.assert_array_equal(shown.numbers, kept.numbers)
        np.testing.assert_array_equal(shown.slot, kept.slot)


@pytest.mark.parametrize("augmentation", [Augmentation(), Flip(), Crop()], ids=lambda a: a.key)
def test_what_is_not_square_is_refused(augmentation: Augmentation) -> None:
    with pytest.raises(DataError, match=r"a/b\.jpg is 30x20, square.*facekd align.*views\.kind=resized-crop"):
        augmentation.load(np.zeros((20, 30, 3), np.uint8), 32, np.full(COLUMNS, 0.5), "a/b.jpg")


@pytest.mark.parametrize("augmentation", [Augmentation(), Flip(), Crop()], ids=lambda a: a.key)
def test_an_image_of_another_size_is_resized_the_same_way_whatever_the_version(augmentation: Augmentation) -> None:
    image = pictures(1, 40)[0]
    for numbers in augmentation.epoch(0, 4).numbers:
        np.testing.assert_array_equal(augmentation.load(image, 16, numbers, ""), resize(image, 16))


def grid(height: int, width: int) -> Pixels:
    """Every pixel's colour tells its row and its column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, 255)], 2).astype(np.uint8)


@pytest.mark.parametrize("shape", [(60, 60), (40, 200), (200, 40), (250, 250), (1, 1), (3, 90)])
def test_a_resized_crop_lies_inside_the_image(shape: tuple[int, int]) -> None:
    augmentation, image = ResizedCrop(5), grid(*shape)
    for numbers in [*augmentation.epoch(1, 200).numbers, np.zeros(5), np.full(5, np.nextafter(1, 0))]:
        out = augmentation.load(image, 24, numbers, "")
        assert out.shape == (24, 24, 3) and out.dtype == np.uint8
        assert (out[..., 2] == 255).all()  # nothing from outside
        assert out[..., 0].max() < shape[0] and out[..., 1].max() < shape[1]


def test_a_resized_crop_is_the_rectangle_of_its_numbers() -> None:
    augmentation, image = ResizedCrop(), grid(200, 240)
    areas, ratios = [], []
    for numbers in augmentation.epoch(0, 400).numbers:
        out = augmentation.load(image, 16, numbers, "").astype(float)
        # 16 means of equal parts along each side: 15 steps between the first and the last
        height, width = ((out[-1, 0, 0] - out[0, 0, 0]) * 16 / 15, (out[0, -1, 1] - out[0, 0, 1]) * 16 / 15)
        areas.append(height * width / image[..., 0].size)
        ratios.append(width / height)
        area, ratio = 48_000 * (0.08 + 0.92 * numbers[3]), (4 / 3) ** (2 * numbers[4] - 1)
        wide, tall = math.sqrt(area * ratio), math.sqrt(area / ratio)
        assert (height, width) == (pytest.approx(min(tall, 200), abs=3), pytest.approx(min(wide, 240), abs=3))
    assert min(areas) < 0.12 and max(areas) > 0.85
    assert 0.7 < min(ratios) < 0.8 and 1.25 < max(ratios) < 1.45


def test_resized_crops_reach_all_four_corners() -> None:
    augmentation, image = ResizedCrop(), grid(30, 30)
    corners = {
        (bool(out[0, 0, 0] <= 1), bool(out[0, 0, 1] <= 1), bool(out[-1, -1, 0] >= 28), bool(out[-1, -1, 1] >= 28))
        for out in (augmentation.load(image, 16, n, "") for n in augmentation.epoch(0, 300).numbers)
    }
    assert {any(c[edge] for c in corners) for edge in range(4)} == {True}


def test_a_resized_crop_is_the_same_again_and_differs_by_epoch() -> None:
    image = pictures(1, 50)[0]

    def shown(epoch: int) -> Pixels:
        augmentation = ResizedCrop(7)
        numbers = augmentation.epoch(epoch, 3).numbers
        loaded = np.stack([augmentation.load(image, 16, n, "") for n in numbers])
        return rendered(augmentation, loaded, numbers)

    np.testing.assert_array_equal(shown(2), shown(2))
    assert (shown(2) != shown(3)).any()


def test_a_resized_crop_is_mirrored_by_half() -> None:
    images, augmentation = pictures(400, 4), ResizedCrop(1)
    numbers = augmentation.epoch(0, 400).numbers
    mirrored = numbers[:, 2] < 0.5
    shown = rendered(augmentation, images, numbers)
    np.testing.assert_array_equal(shown[mirrored], images[mirrored][:, :, ::-1])
    np.testing.assert_array_equal(shown[~mirrored], images[~mirrored])
    assert 150 < mirrored.sum() < 250


@pytest.mark.parametrize("augmentation", [Augmentation(), Flip(), Crop(), ResizedCrop()], ids=lambda a: a.key)
def test_a_batch_is_rendered_on_the_device_it_lies_on(augmentation: Augmentation) -> None:
    """No other device is here; ``meta`` computes nothing, but refuses to be mixed with the CPU."""
    versions: Versions = augmentation.epoch(0, 3)
    shown = augmentation.render(torch.zeros(3, SIZE, SIZE, 3, dtype=torch.uint8, device="meta"), versions.numbers)
    assert (shown.device.type, shown.dtype, shown.shape) == ("meta", torch.uint8, (3, SIZE, SIZE, 3))
