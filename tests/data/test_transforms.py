"""Decoding, resizing and cropping: color order, sizes and what is refused."""

from __future__ import annotations

import io
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facekd.data import cv2, transforms
from facekd.data.transforms import center_crop, decode, decode_crop, resize
from facekd.errors import DataError


def encode(pixels: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_pixels_come_out_as_another_program_wrote_them(kind: str) -> None:
    np.testing.assert_array_equal(decode(encode(noise(5, 7), kind), ""), noise(5, 7))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_colors_are_rgb(kind: str) -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    assert np.abs(decode(encode(red, kind), "").mean(axis=(0, 1)) - [200, 0, 0]).max() < 4


def test_gray_pictures_get_three_channels() -> None:
    gray = noise(6, 6)[..., 0]
    np.testing.assert_array_equal(decode(encode(gray), ""), np.repeat(gray[..., None], 3, axis=2))


@pytest.mark.parametrize("data", [b"", b"no image", encode(noise(8, 8))[:40]])
def test_bytes_that_are_no_image_are_refused_by_place(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^a/b\.jpg does not decode as an image; remove it or replace it"):
        decode(data, "a/b.jpg")


def claim_size(data: bytes, marker: bytes, width: int, height: int) -> bytes:
    """Return a JPEG whose header claims another size."""
    start = data.index(marker) + 5
    return data[:start] + struct.pack(">HH", height, width) + data[start + 4 :]


def png_of_size(width: int, height: int) -> bytes:
    """Return a small PNG whose header claims this size."""
    data = encode(noise(2, 2))
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


@pytest.mark.parametrize("data", [
    claim_size(encode(noise(8, 8), "JPEG"), b"\xff\xc0", 32_000, 32_000), png_of_size(70_000, 70_000),
    encode(noise(8, 8), "BMP")[:18] + struct.pack("<ii", 2**31 - 1, -1) + encode(noise(8, 8), "BMP")[26:],
])
def test_a_file_that_claims_too_many_pixels_is_refused_by_its_header(data: bytes, monkeypatch: pytest.MonkeyPatch
                                                                     ) -> None:
    monkeypatch.setattr(cv2, "imdecode", None)  # nothing is decoded
    with pytest.raises(DataError, match=r"^a\.jpg has [0-9,]+ x [0-9,]+ pixels, and images above 134 million"):
        decode(data, "a.jpg")


def test_a_png_that_claims_a_part_of_gigabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(noise(4, 4))
    start = data.index(b"IDAT") - 4
    monkeypatch.setattr(cv2, "imdecode", None)  # it would take 4 GB
    message = r"^a\.png does not decode as an image \(a part of it claims 4,294,901,760 bytes"
    with pytest.raises(DataError, match=message):
        decode(data[:start] + b"\xff\xff\0\0" + data[start + 4 :], "a.png")


def test_opencv_refuses_too_many_pixels_of_other_formats() -> None:
    with pytest.raises(DataError, match=r"^a\.ppm does not decode as an image"):
        decode(b"P6 20000 20000 255\n" + bytes(1000), "a.ppm")


def test_errors_of_opencv_name_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise cv2.error("broken")

    monkeypatch.setattr(cv2, "imdecode", fail)
    with pytest.raises(DataError, match=r"^a\.jpg does not decode as an image"):
        decode(encode(noise(8, 8)), "a.jpg")


def test_a_jpeg_of_hundreds_of_scans_is_refused_where_it_would_take_long() -> None:
    stream = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    scans = data[data.rindex(b"\xff\xda") : -2] * 1000
    many_scans = data[:-2] + scans + data[-2:]
    assert decode(many_scans, "").shape == (64, 64, 3)
    with pytest.raises(DataError, match=r"^a\.jpg is a JPEG of 1,010 scans, which takes too long"):
        decode(claim_size(many_scans, b"\xff\xc2", 5000, 5000), "a.jpg")


def test_large_images_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    active: list[int] = []
    most = []
    real = cv2.imdecode

    def count(*arguments: Any) -> Any:
        active.append(1)
        most.append(len(active))
        time.sleep(0.01)
        image = real(*arguments)
        active.pop()
        return image

    monkeypatch.setattr(transforms, "LARGE_PIXELS", 100)
    monkeypatch.setattr(cv2, "imdecode", count)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: decode(encode(noise(20, 20)), number), range(8)))
    assert max(most) == 1


def test_transparency_is_ignored() -> None:
    pixels = noise(4, 4)
    alpha = np.zeros((4, 4, 1), np.uint8)
    np.testing.assert_array_equal(decode(encode(np.concatenate([pixels, alpha], 2)), ""), pixels)


def test_shrinking_averages_areas() -> None:
    pixels = noise(64, 64)
    means = pixels.reshape(32, 2, 32, 2, 3).astype(np.float64).mean(axis=(1, 3))
    assert np.abs(resize(pixels, 32) - means).max() <= 0.5


def test_enlarging_stays_between_the_pixels() -> None:
    pixels = np.array([[[0] * 3, [100] * 3], [[0] * 3, [100] * 3]], np.uint8)
    large = resize(pixels, 8)[..., 0]
    assert large.shape == (8, 8)
    assert (np.diff(large[0].astype(int)) >= 0).all()


def test_the_right_size_is_left_alone() -> None:
    pixels = noise(8, 8)
    assert resize(pixels, 8) is pixels


def test_a_crop_is_brought_to_size() -> None:
    np.testing.assert_array_equal(decode_crop(encode(noise(64, 64)), 32, ""), resize(noise(64, 64), 32))


def test_a_picture_that_is_not_square_is_no_crop() -> None:
    with pytest.raises(DataError, match=r"^a\.jpg is 7x5, aligned crops are square; run 'facekd align'"):
        decode_crop(encode(noise(5, 7)), 4, "a.jpg")


def test_the_center_of_an_image_of_the_right_size_is_itself() -> None:
    pixels = noise(32, 32)
    assert center_crop(pixels, 32) is pixels


@pytest.mark.parametrize(("height", "width"), [(256, 300), (300, 256), (256, 256), (256, 257)])
def test_the_center_is_cut_from_the_middle(height: int, width: int) -> None:
    pixels = noise(height, width)  # the shorter side is 256 already: nothing is resized
    top, left = (height - 224) // 2, (width - 224) // 2
    np.testing.assert_array_equal(center_crop(pixels, 224), pixels[top : top + 224, left : left + 224])


@pytest.mark.parametrize(("height", "width"), [(500, 375), (40, 90), (32, 33), (2, 50), (64, 64)])
@pytest.mark.parametrize("size", [32, 112])
def test_the_center_has_its_size_whatever_the_image(height: int, width: int, size: int) -> None:
    view = center_crop(noise(height, width), size)
    assert view.shape == (size, size, 3) and view.dtype == np.uint8 and view.flags.c_contiguous


def test_the_center_keeps_the_aspect_and_shows_the_share_it_should() -> None:
    """A ramp along each side: what the view shows of it begins and ends where 224 of 256 parts do."""
    ramp = np.linspace(0, 255, 512)
    tall = np.zeros((1024, 512, 3), np.uint8)
    tall[..., 0] = np.round(ramp)[None]
    tall[256:768, :, 1] = np.round(ramp)[:, None]
    view = center_crop(tall, 224).astype(np.float64)
    first, last = 255 * 16 / 256, 255 * 240 / 256
    for across in (view[100, :, 0], view[:, 100, 1]):
        assert across[0] == pytest.approx(first, abs=1.5) and across[-1] == pytest.approx(last, abs=1.5)


def test_the_center_of_a_larger_image_agrees_with_another_program() -> None:
    whole = Image.fromarray(noise(512, 640)).resize((320, 256), Image.Resampling.BOX)
    expected = np.asarray(whole.crop((48, 16, 272, 240)), np.float64)
    assert np.abs(center_crop(noise(512, 640), 224) - expected).max() <= 1
