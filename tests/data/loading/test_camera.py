from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.data import cv2
from facekd.data.image_set import Pixels
from facekd.data.loading import camera
from facekd.data.loading.augmentation import MIRROR, NUM_PARAMS
from facekd.data.loading.camera import Camera, apply_effects
from facekd.data.transforms import resize

SHRINK, BLUR, LIGHT, JPEG = range(4)
NEVER = 0.999


def picture(side: int = 56) -> Pixels:
    """A smooth picture with a sharp edge and noise."""
    y, x = np.mgrid[:side, :side] / side
    colors = np.stack([x, y, 1 - x], axis=2) * 160 + 40 + 30 * (x > 0.5)[..., None]
    noise = np.random.default_rng(0).normal(0, 6, colors.shape)
    return np.asarray((colors + noise).clip(0, 255), np.uint8)


def params(*effects: int, strengths: Sequence[float] = (0.5,) * 7) -> NDArray[np.float64]:
    """Parameters under which these effects alone are applied."""
    gates = [0.0 if effect in effects else NEVER for effect in range(4)]
    return np.array([*gates, *strengths])


def detail(image: Pixels) -> float:
    """The mean absolute difference between neighbors."""
    return float(np.abs(np.diff(image.astype(float), axis=1)).mean())


def test_a_version_follows_from_seed_version_and_index_alone() -> None:
    long, short = Camera(3).epoch_params(5, 100), Camera(3).epoch_params(5, 17)
    np.random.seed(1)
    np.testing.assert_array_equal(short.params, long.params[:17])
    np.testing.assert_array_equal(Camera(3).slot_params(5, 100).params, long.params)
    assert long.cache_slot.tolist() == [5] * 100
    image = picture()
    first, second = (Camera(3).prepare_image(image, 32, long.params[7], "") for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_epochs_go_around_the_versions() -> None:
    slots = [int(Camera(versions=3).epoch_params(epoch, 1).cache_slot[0]) for epoch in range(7)]
    assert slots == [0, 1, 2, 0, 1, 2, 0]
    assert int(Camera(versions=0).epoch_params(100, 1).cache_slot[0]) == 100


def test_versions_and_seeds_differ() -> None:
    drawn = [Camera(seed).slot_params(slot, 20).params.tobytes() for seed in range(3) for slot in range(3)]
    assert len(set(drawn)) == 9
    assert Camera(1).key != Camera(0).key and Camera(0, 3).key == Camera(0, 8).key  # a slot is the same version


def test_params_are_uniform() -> None:
    values = Camera().epoch_params(0, 10_000).params
    np.testing.assert_allclose(values.mean(0), 0.5, atol=0.015)
    np.testing.assert_allclose(np.corrcoef(values.T), np.eye(values.shape[1]), atol=0.05)


def test_no_effect_leaves_the_image_alone() -> None:
    image = picture()
    np.testing.assert_array_equal(apply_effects(image, params()), image)


@pytest.mark.parametrize("effect", [SHRINK, BLUR, LIGHT, JPEG])
def test_an_effect_changes_a_copy_of_the_same_shape_and_type(effect: int) -> None:
    image = picture()
    shown = apply_effects(image, params(effect, strengths=(0.3,) * 7))
    assert shown.shape == image.shape and shown.dtype == np.uint8
    assert 0.5 < np.abs(shown.astype(float) - image).mean() < 80
    np.testing.assert_array_equal(image, picture())


def test_stronger_shrinking_and_blur_leave_less_detail() -> None:
    image = picture(112)
    for effect, order in ((SHRINK, (0.0, 0.5, 0.99)), (BLUR, (0.99, 0.5, 0.0))):
        details = [detail(apply_effects(image, params(effect, strengths=(value,) * 7))) for value in order]
        assert details == sorted(details) and details[-1] < detail(image)


def test_light_is_the_formula() -> None:
    image = picture()
    shown = apply_effects(image, params(LIGHT, strengths=(0.5, 0.5, 0.75, 0.2, 0.1, 0.9, 0.5)))
    brightness, contrast, saturation, balance = 1.2, 0.82, 0.6, 1.064
    gray = image.astype(float) @ camera.LUMINANCE
    colors = saturation * image + (1 - saturation) * gray[..., None]
    colors *= np.array([balance, 1, 1 / balance])
    truth = contrast * brightness * colors + (1 - contrast) * 127.5
    np.testing.assert_allclose(shown, truth.clip(0, 255), atol=1)


def test_jpeg_is_that_of_its_quality() -> None:
    image = picture()
    shown = apply_effects(image, params(JPEG, strengths=(0.5,) * 6 + (0.4,)))
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
    np.testing.assert_array_equal(shown, cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def test_as_many_versions_have_an_effect_as_stated() -> None:
    gates = Camera().epoch_params(0, 4000).params[:, NUM_PARAMS : NUM_PARAMS + 4]
    shares = (gates < (camera.SHRINK_SHARE, camera.BLUR_SHARE, camera.LIGHT_SHARE, camera.JPEG_SHARE)).mean(0)
    np.testing.assert_allclose(shares, [0.3, 0.3, 0.7, 0.5], atol=0.03)


def test_networks_of_two_sizes_see_one_picture() -> None:
    version = Camera().epoch_params(1, 5).params[2]
    large, small = (Camera().prepare_image(picture(64), side, version, "") for side in (64, 32))
    np.testing.assert_array_equal(small, resize(large, 32))
    assert Camera.is_scale_invariant and not Camera.is_cacheable


def test_half_of_the_versions_are_mirrored() -> None:
    versions = Camera().epoch_params(0, 200)
    images = torch.from_numpy(np.stack([picture(16)] * 200))
    shown = Camera().augment_batch(images.clone(), versions.params).numpy()
    mirrored = versions.params[:, MIRROR] < 0.5
    assert 70 < mirrored.sum() < 130
    for image, is_mirrored in zip(shown, mirrored, strict=True):
        np.testing.assert_array_equal(image, picture(16)[:, ::-1] if is_mirrored else picture(16))
