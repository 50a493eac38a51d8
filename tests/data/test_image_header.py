"""The size in the header, compared with Pillow's files; damaged headers."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facekd.data.image_header import read_image_size

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG", {"exif": b"Exif\0\0II*\0" + b"\xff\xc0" * 99}),
    ("PNG", {}), ("GIF", {}), ("BMP", {}), ("WEBP", {}), ("WEBP", {"lossless": True}),
    ("WEBP", {"exif": b"Exif\0\0II*\0"}),
]


def encode(width: int, height: int, kind: str, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("size", [(1, 1), (300, 7), (1000, 600)])
def test_the_size_is_the_one_that_another_program_wrote(kind: str, options: dict[str, Any],
                                                        size: tuple[int, int]) -> None:
    assert read_image_size(encode(*size, kind, options)) == size


def test_jpeg_segments_are_walked_as_libjpeg_does() -> None:
    data = encode(30, 20, "JPEG", {})
    padded = b"\xff\xd8" + b"\xff\xff\xfe\0\x06abcd" + b"garbage" + b"\xff\x01" + data[2:]
    assert read_image_size(padded) == (30, 20)


def test_a_bitmap_of_os2_and_one_from_top_to_bottom() -> None:
    assert read_image_size(b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 5, 7, 1, 24)) == (5, 7)
    assert read_image_size(b"BM" + bytes(12) + struct.pack("<Iii", 40, 5, -7)) == (5, 7)


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_a_file_that_ends_in_its_header_has_no_size(kind: str, options: dict[str, Any]) -> None:
    data = encode(30, 20, kind, options)
    assert all(read_image_size(data[:length]) in (None, (30, 20)) for length in range(200))
    assert read_image_size(data[:12]) in (None, (30, 20))


@pytest.mark.parametrize("data", [b"", b"no image", b"II*\0" + bytes(100), b"\xff\xd8\xff\xda" + bytes(9),
                                  b"\xff\xd8" + bytes(100), b"RIFF\0\0\0\0WEBPVP9 " + bytes(40)])
def test_other_formats_have_no_size(data: bytes) -> None:
    assert read_image_size(data) is None


def test_the_walk_over_segments_is_bounded() -> None:
    assert read_image_size(b"\xff\xd8" + b"\xff\xfe\0\x02" * 1_000_000 + encode(30, 20, "JPEG", {})[2:]) is None
