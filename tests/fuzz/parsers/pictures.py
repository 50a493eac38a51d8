"""Small images that other parsers have in their files, and the parser of images itself."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from facekd.data.transforms import center_crop, decode, decode_crop
from facekd.errors import DataError
from tests.fuzz.parser import Files, Parser


def noise(side: int = 12, channels: int = 3, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return uint8 [side, side, channels] of noise."""
    return np.random.default_rng(seed).integers(0, 256, (side, side, channels), np.uint8)


@cache
def picture(seed: int = 0, ending: str = ".png", side: int = 12) -> bytes:
    """Return an encoded image of noise."""
    return bytes(cv2.imencode(ending, noise(side, seed=seed))[1])


def _pil(image: Image.Image, kind: str, **options: Any) -> bytes:
    output = io.BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def make_seeds(folder: Path) -> Sequence[Files]:
    """One image of each kind that cameras and programs write."""
    color = Image.fromarray(noise(24))
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = cv2.imencode(".png", noise(16).astype(np.uint16) * 257)[1].tobytes()
    encoded = [
        picture(), picture(ending=".jpg", side=24), picture(ending=".bmp"), picture(ending=".webp", side=16), deep,
        _pil(color, "JPEG", progressive=True), _pil(color.convert("CMYK"), "JPEG"), _pil(color, "JPEG", exif=exif),
        _pil(color.convert("L"), "PNG"), _pil(color.convert("P"), "PNG"), _pil(color.convert("RGBA"), "PNG", exif=exif),
        _pil(color, "GIF"), _pil(color, "TIFF"), _pil(color.convert("1"), "PNG"), _pil(color, "WEBP", lossless=True),
        _pil(color, "PPM"), _pil(color, "TIFF", compression="tiff_lzw"),
    ]
    return [{"image": data} for data in encoded]


def read(folder: Path) -> None:
    """Decode, as a photograph and as a crop."""
    data = (folder / "image").read_bytes() if (folder / "image").exists() else b""
    image = decode(data, "image")
    assert image.ndim == 3 and image.dtype == np.uint8
    center_crop(image, 32)
    try:
        decode_crop(data, 16, "image")
    except DataError as error:
        assert "square" in str(error)


PARSERS = [
    Parser("images", ["data/transforms.py", "data/loading/loader.py"], make_seeds, read, {"image": "image"}),
]
