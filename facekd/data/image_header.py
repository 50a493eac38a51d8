"""The size of an image from its file header, so that a picture too large for the memory is refused before decoding."""

from __future__ import annotations

import struct

_JPEG_SEGMENT = struct.Struct(">BBH")  # 255, marker, length
_JPEG_SIZE = struct.Struct(">HH")
_JPEG_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_START_OF_SCAN = 0xDA
_JPEG_WITHOUT_SEGMENT = frozenset({0x00, 0x01, *range(0xD0, 0xDA)})
_MAX_JPEG_SEGMENTS = 10_000
_PNG = struct.Struct(">8x8xII")
_PNG_SIGNATURE_BYTES = 8
_PNG_CHUNK = struct.Struct(">I")  # the length of its data
_PNG_CHUNK_OVERHEAD = 12
_MAX_MISSING_BYTES = 1 << 24
_GIF = struct.Struct("<6xHH")
_BMP = struct.Struct("<14xIii")
_BMP_OLD = struct.Struct("<14xIHH")
_BMP_OLD_HEADER_BYTES = 12
_WEBP_LOSSY = struct.Struct("<26xHH")
_WEBP_LOSSLESS = struct.Struct("<21xI")
_WEBP_EXTENDED = struct.Struct("<24xHBHB")


def read_image_size(data: bytes) -> tuple[int, int] | None:
    """Read the size of a JPEG, PNG, GIF, BMP or WebP image, in about one microsecond; nothing is decoded.

    Args:
        data: the encoded image.

    Returns:
        Width and height in pixels; None if the format is another one or the header is damaged.

    Raises:
        ValueError: a part of a PNG claims many more bytes than there are; OpenCV would allocate them.
    """
    try:
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            _check_png_chunks(data)
            return _PNG.unpack_from(data)
        if data.startswith((b"GIF87a", b"GIF89a")):
            return _GIF.unpack_from(data)
        if data.startswith(b"BM"):
            return _bmp_size(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp_size(data)
    except (struct.error, IndexError):  # the file ends inside its header
        return None
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walk over the segments as libjpeg does, to the first start of frame."""
    position = 2
    for _ in range(_MAX_JPEG_SEGMENTS):
        prefix, marker, length = _JPEG_SEGMENT.unpack_from(data, position)
        if prefix != 0xFF:  # libjpeg skips what stands between segments
            position = data.find(b"\xff", position)
            if position < 0:
                return None
        elif marker in _JPEG_START_OF_FRAME:
            height, width = _JPEG_SIZE.unpack_from(data, position + 5)
            return width, height
        elif marker == _JPEG_START_OF_SCAN:
            return None
        elif marker == 0xFF:  # a fill byte
            position += 1
        else:
            position += 2 if marker in _JPEG_WITHOUT_SEGMENT else 2 + length
    return None


def _check_png_chunks(data: bytes) -> None:
    position = _PNG_SIGNATURE_BYTES
    while position + _PNG_CHUNK.size <= len(data):
        (length,) = _PNG_CHUNK.unpack_from(data, position)
        if length > _MAX_MISSING_BYTES and length > len(data):
            raise ValueError(f"a part of it claims {length:,} bytes, the image has {len(data):,}")
        position += length + _PNG_CHUNK_OVERHEAD


def _bmp_size(data: bytes) -> tuple[int, int]:
    header_bytes, width, height = _BMP.unpack_from(data)
    if header_bytes == _BMP_OLD_HEADER_BYTES:
        _, width, height = _BMP_OLD.unpack_from(data)
    return abs(width), abs(height)  # a negative height: the rows stand from top to bottom


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = _WEBP_LOSSY.unpack_from(data)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = _WEBP_LOSSLESS.unpack_from(data)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        low_width, high_width, low_height, high_height = _WEBP_EXTENDED.unpack_from(data)
        return (high_width << 16 | low_width) + 1, (high_height << 16 | low_height) + 1
    return None
