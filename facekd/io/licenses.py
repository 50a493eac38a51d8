"""The license of a model file from elsewhere, as far as the file or a text beside it states it."""

from __future__ import annotations

import re
from pathlib import Path

from facekd.errors import ModelError
from facekd.io.onnx_file import read_model
from facekd.io.reading import read_bytes
from facekd.text import shorten

UNKNOWN = "unknown"
FILE_NAMES = re.compile(r"(licen[cs]e|copying)(\.(md|txt))?|.*\.licen[cs]e", re.IGNORECASE)
SIZE_LIMIT = 1 << 20
LENGTH = 200
"""The largest number of characters of a license's name."""
RESTRICTED = re.compile(r"non-?\s?commercial|\bnc\b|research|academic|evaluation only", re.IGNORECASE)


def find_license(file: Path) -> str:
    """Return what a model file says about its license.

    The first of: the property ``license`` of an ONNX file, and the first line of a file ``LICENSE``, ``COPYING`` or
    ``*.LICENSE`` in its folder. It is a hint: nothing tells whether that text is about this file.

    Args:
        file: a model file.

    Returns:
        A line of text; ``unknown`` if neither exists.

    Raises:
        ModelError: the file is no ONNX file, though it is named so, or a license text cannot be read.
    """
    if file.suffix == ".onnx":
        properties = {entry.key.lower(): entry.value for entry in read_model(file).metadata_props}
        if properties.get("license", "").strip():
            return shorten(" ".join(properties["license"].split()), LENGTH)
    for text in sorted(file.parent.iterdir()):
        if FILE_NAMES.fullmatch(text.name) and text.is_file():
            lines = read_bytes(text, ModelError, limit=SIZE_LIMIT, remedy="repair or remove this text").decode(
                "utf-8", "replace").split("\n")
            first = next((" ".join(line.split()) for line in lines if line.strip()), "")
            if first:
                return f"{shorten(first, LENGTH)} (first line of {shorten(text.name, LENGTH)})"
    return UNKNOWN


def is_restricted(license_text: str) -> bool:
    """Return whether a license is unknown, or its text names non-commercial, research or academic use."""
    return license_text == UNKNOWN or RESTRICTED.search(license_text) is not None
