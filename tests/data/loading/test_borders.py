from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.image_set import Pixels
from facekd.data.loading.augmentation import Augmentation, Flip, NoAugmentation
from facekd.data.loading.borders import PaintedBorders, find_border
from facekd.data.loading.camera import Camera
from facekd.data.loading.loader import Loader
from facekd.data.opening import open_faces

SIDE = 48


def face(seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(60, 200, (SIDE, SIDE, 3), np.uint8)


def wedge() -> NDArray[np.bool_]:
    """The corner that a rotated photograph leaves open."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.asarray(x + y < 20)


def bordered() -> Pixels:
    image = face()
    image[wedge()] = np.random.default_rng(1).integers(0, 9, (int(wedge().sum()), 3))  # as JPEG leaves black
    return image


def test_a_black_corner_is_found_with_its_margin() -> None:
    found = find_border(bordered())
    y, x = np.mgrid[:SIDE, :SIDE]
    assert found[wedge()].all() and not found[x + y > 20 + 5].any()


@pytest.mark.parametrize("place", [np.s_[20:30, 20:30], np.s_[0:2, 0:2]], ids=["inside", "tiny"])
def test_a_dark_spot_is_no_border(place: tuple[slice, slice]) -> None:
    image = face()
    image[place] = 0
    assert not find_border(image).any()


def test_dark_hair_around_a_face_is_no_border() -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    image = face()
    image[((x - SIDE / 2) ** 2 + (y - 20) ** 2 > 10**2) & (y < 38)] = 0  # ends at the shoulders
    assert not find_border(image).any()


def test_a_border_is_found_beside_dark_hair_that_touches_it() -> None:
    image = bordered()
    image[8:14, 8:20] = 0
    found = find_border(image)
    assert found[wedge()].all() and not found[8:14, 16:20].any()


def test_a_black_image_has_no_border() -> None:
    assert not find_border(np.zeros((SIDE, SIDE, 3), np.uint8)).any()


def painted(mode: str, params: NDArray[np.float64], image: Pixels) -> Pixels:
    augmentation = PaintedBorders(NoAugmentation(), mode)  # type: ignore[arg-type]
    return augmentation.prepare_image(image, SIDE, params, "")


def test_fill_takes_the_mean_of_the_rest() -> None:
    image = bordered()
    border = find_border(image)
    shown = painted("fill", np.zeros(5), image)
    np.testing.assert_allclose(shown[border], np.broadcast_to(image[~border].mean(0), (int(border.sum()), 3)), atol=1)
    np.testing.assert_array_equal(shown[~border], image[~border])
    np.testing.assert_array_equal(image, bordered())  # the stored image stays


def test_jitter_takes_the_color_of_the_version() -> None:
    image = bordered()
    shown = painted("jitter", np.array([0.5] * 5 + [0.0, 0.5, 0.999]), image)
    assert (shown[find_border(image)] == (0, 128, 255)).all()


def test_an_image_without_border_stays_as_it_is() -> None:
    np.testing.assert_array_equal(painted("jitter", np.full(8, 0.5), face()), face())


@pytest.mark.parametrize("inner", [Flip(2), Camera(2, 3)], ids=lambda inner: inner.key)
def test_colors_follow_from_seed_slot_and_index_alone(inner: Augmentation) -> None:
    augmentation = PaintedBorders(inner, "jitter")
    long, short = augmentation.epoch_params(4, 50), augmentation.epoch_params(4, 9)
    np.testing.assert_array_equal(short.params, long.params[:9])
    np.testing.assert_array_equal(long.cache_slot, inner.epoch_params(4, 50).cache_slot)
    for slot in set(long.cache_slot.tolist()):  # what a teacher cache would hold
        rows = long.cache_slot == slot
        np.testing.assert_array_equal(augmentation.slot_params(slot, 50).params[rows, -3:], long.params[rows, -3:])
    assert len(np.unique(long.params[:, -3])) == 50


def test_keys_differ_where_a_teacher_would_see_different_images() -> None:
    kinds = [Flip(), Flip(1), PaintedBorders(Flip(), "fill"), PaintedBorders(Flip(), "jitter"),
             PaintedBorders(Flip(1), "jitter"), PaintedBorders(NoAugmentation(), "fill")]
    assert len({kind.key for kind in kinds}) == 5  # flips of two seeds have the same two versions
    assert PaintedBorders(Flip(), "fill").is_cacheable and not PaintedBorders(Flip(), "jitter").is_cacheable


@pytest.mark.parametrize("mode", ["fill", "jitter"])
@pytest.mark.parametrize("inner", [NoAugmentation(), Flip(), Camera()], ids=lambda inner: inner.key)
def test_a_loader_shows_what_a_cache_of_the_slot_shows(small_faces: Path, inner: Augmentation, mode: str) -> None:
    augmentation = PaintedBorders(inner, mode)  # type: ignore[arg-type]
    images = open_faces(small_faces)
    loader = Loader(images, 32, batch_size=16, seed=0, augmentation=augmentation)
    slots = {slot: np.concatenate([batch.images.numpy() for batch in loader.iter_slot(slot)])
             for slot in augmentation.sibling_slots(0)}
    for batch in loader.iter_epoch(0):
        versions = zip(batch.index.tolist(), batch.cache_slot.tolist(), strict=True)
        truth = np.stack([slots[slot][index] for index, slot in versions])
        np.testing.assert_array_equal(batch.images.numpy(), truth)
