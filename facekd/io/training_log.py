"""The lines of a training log, ``log.jsonl``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from facekd.errors import DataError
from facekd.io.reading import read_text
from facekd.utils.console import notify

TEACHER_COSINE = "teacher_cosine"
"""The key of the mean cosine of the student's embeddings to the teacher's, of the training images of a line's steps."""
HELD_OUT_COSINE = "held_out_cosine"
"""The key of the same mean of held-out images, in lines at the end of an epoch."""
LOG_LIMIT = 1 << 30
"""Bytes that are read."""


def read_log(file: Path) -> list[dict[str, Any]]:
    """Return all lines of a log, without the half-written last line of a killed run.

    Damaged lines, which a loss of power leaves, are reported on the standard error and left out.

    Raises:
        DataError: the file cannot be read.
    """
    text = read_text(file, DataError, limit=LOG_LIMIT, errors="replace")
    lines = [_parse_line(line) for line in text.split("\n")[:-1]]
    intact = [line for line in lines if line is not None]
    if len(intact) < len(lines):
        notify(f"{file}: {len(lines) - len(intact)} of {len(lines)} lines are damaged and are left out")
    return intact


def _parse_line(text: str) -> dict[str, Any] | None:
    """Return a line; None for a damaged one. Unlike other JSON of ours it may hold NaN."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and type(line.get("step")) is int else None
