"""The rows of an earlier ``facekd eval all``, which are reused where nothing has changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facekd.data.evaluation_set import EvaluationSet
from facekd.errors import DataError
from facekd.io.documents import read_json
from facekd.io.reading import reading
from facekd.reporting.tables.evaluation import Row, Suite
from facekd.utils.console import notify

REMEDY = "its sets are measured again"


def cache_key(one_set: EvaluationSet, facts: Sequence[Any]) -> str:
    """Return a digest of all inputs of a result; empty if the files of the set cannot be listed."""
    try:
        inputs = [one_set.name, one_set.protocol, one_set.stat_digest(), *facts]
    except (DataError, OSError):  # the evaluation of the set reports the problem
        return ""
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def read_rows(result_files: Sequence[Path]) -> dict[str, list[Row]]:
    """Return the measured rows of earlier calls by their key; the first file wins, and a note names unusable ones."""
    rows: dict[str, list[Row]] = {}
    for file in filter(os.path.exists, result_files):
        file_rows: dict[str, list[Row]] = {}
        try:
            document = read_json(file, remedy=REMEDY)
            with reading(file, remedy=REMEDY):
                for content in document["rows"]:
                    row = Row(**{name: value for name, value in content.items() if name != "figure"})
                    if not all(isinstance(text, str) for text in (row.set, row.name, row.protocol, row.note)):
                        raise ValueError("a row names its set by something that is no text")
                    if row.status == "measured" and row.key:
                        Suite(file.parent, [row]).to_rich()  # raises if the figures of its protocol are not all there
                        file_rows.setdefault(row.key, []).append(row)
        except DataError as problem:  # the file is damaged or of another kind
            notify(str(problem))
            continue
        rows = {**file_rows, **rows}
    return rows
