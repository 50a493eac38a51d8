from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.errors import ModelError
from facekd.models.input_format import InputFormat, check_options, refuse_options
from facekd.models.preprocessing import NORMALIZATIONS, normalize_images


@pytest.fixture
def crops() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


def test_by_default_crops_are_fed_as_insightface_does(crops: NDArray[np.uint8]) -> None:
    pixels = InputFormat().preprocess(crops)
    assert pixels.dtype == np.float32 and pixels.flags.c_contiguous
    np.testing.assert_allclose(pixels, (crops.transpose(0, 3, 1, 2).astype(np.float64) - 127.5) / 127.5, atol=1e-7)


@pytest.mark.parametrize("pixels", [*NORMALIZATIONS])
def test_normalizations_are_those_of_networks(crops: NDArray[np.uint8], pixels: str) -> None:
    truth = normalize_images(torch.from_numpy(crops), pixels).numpy()
    np.testing.assert_allclose(InputFormat(pixels).preprocess(crops), truth, atol=1e-6)


@pytest.mark.parametrize(("pixels", "scale"), [("raw", 1), ("zero-one", 255)])
def test_pixels_from_zero(crops: NDArray[np.uint8], pixels: str, scale: int) -> None:
    np.testing.assert_allclose(InputFormat(pixels).preprocess(crops),
                               crops.transpose(0, 3, 1, 2).astype(np.float64) / scale, rtol=1e-6)


def test_bgr_takes_the_means_along(crops: NDArray[np.uint8]) -> None:
    rgb = InputFormat("imagenet").preprocess(crops)
    np.testing.assert_array_equal(InputFormat("imagenet", "bgr").preprocess(crops), rgb[:, ::-1])


def test_channels_can_be_last(crops: NDArray[np.uint8]) -> None:
    first = InputFormat("imagenet", "bgr").preprocess(crops)
    last = InputFormat("imagenet", "bgr", "nhwc").preprocess(crops)
    assert last.flags.c_contiguous
    np.testing.assert_array_equal(last, first.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_other_types(crops: NDArray[np.uint8], dtype: str) -> None:
    pixels = InputFormat("raw", dtype=dtype).preprocess(crops)
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels, crops.transpose(0, 3, 1, 2))


def test_options_that_are_given_are_returned() -> None:
    assert check_options({"pixels": "raw", "channels": None, "size": 112}) == {"pixels": "raw", "size": 112}


@pytest.mark.parametrize(
    ("options", "message"),
    [({"pixels": "row"}, "--pixels row is unknown: did you mean 'raw'"),
     ({"channels": "gbr"}, "--channels gbr is unknown"), ({"size": 0}, "--size 0 is no side"),
     ({"size": True}, "--size True"), ({"size": 1.5}, "--size 1.5"), ({"output": 3}, "--output 3")],
)
def test_values_without_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        check_options(options)


def test_options_without_effect_are_named() -> None:
    with pytest.raises(ModelError, match="--pixels and --size have no effect: a run knows"):
        refuse_options({"pixels": "raw", "channels": None, "size": 0}, "a run knows")
    refuse_options({"pixels": None}, "a run knows")
