"""JSON and YAML from files of anybody: bounded in size, depth and digits, without aliases."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from facekd.errors import DataError, FacekdError
from facekd.io.reading import MAX_DIGITS, MEBIBYTE, RESTORE, read_text, reading
from facekd.text import path_text, shorten

JSON_LIMIT = 256 * MEBIBYTE
YAML_LIMIT = 64 << 10
"""Characters of a recipe; the parser takes seconds for more."""
MAX_NUMBER = 40
"""Characters of a number in YAML; the time for one in base 60 (``1:30``) grows with the square of its length."""
MAX_DEPTH = 64
"""Lists and mappings inside each other."""


def parse_json(text: str | bytes, source: Path | str, error: type[FacekdError] = DataError, *,
               remedy: str = RESTORE) -> Any:
    """Parse JSON.

    Args:
        text: the document.
        source: where it comes from, for the message.
        error: the type of error to raise.
        remedy: what the user should do.

    Raises:
        error: the text is no JSON, is nested deeper than `MAX_DEPTH`, holds a whole number of more than 18 digits, NaN,
            an infinity or a number beyond float64.
    """
    with reading(source, error, kind="JSON", remedy=remedy):
        content = json.loads(text, parse_int=_whole_number, parse_float=_number, parse_constant=_refuse_constant)
        check_depth(content)
        return content


def read_json(path: Path | str, error: type[FacekdError] = DataError, *, limit: int = JSON_LIMIT,
              remedy: str = RESTORE) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        error: the file is absent, larger than ``limit`` bytes, is not JSON, or does not contain an object; see
            `parse_json`.
    """
    content = parse_json(read_text(path, error, limit=limit, remedy=remedy), path, error, remedy=remedy)
    if not isinstance(content, dict):
        raise error(f"{path_text(path)} holds a JSON {type(content).__name__}, an object is needed; {remedy}")
    return content


def parse_yaml(text: str, source: Path | str, error: type[FacekdError] = DataError, *, remedy: str = RESTORE) -> Any:
    """Parse YAML of plain values: texts, numbers, booleans, null, lists and mappings.

    Args:
        text: the document.
        source: where it comes from, for the message.
        error: the type of error to raise.
        remedy: what the user should do.

    Raises:
        error: the text is no YAML, is longer than `YAML_LIMIT`, is nested deeper than `MAX_DEPTH`, or uses aliases.
    """
    with reading(source, error, kind="YAML", remedy=remedy):
        if len(text) > YAML_LIMIT:
            raise ValueError(f"it has more than {YAML_LIMIT:,} characters")
        try:
            content = yaml.load(text, _PlainLoader)  # noqa: S506 (a SafeLoader)
        except yaml.MarkedYAMLError as problem:  # its own text shows the place in several lines
            line = f"line {problem.problem_mark.line + 1}: " if problem.problem_mark else ""
            raise ValueError(f"{line}{problem.problem}") from problem
        check_depth(content)
        return content


def read_yaml(path: Path | str, error: type[FacekdError] = DataError, *, remedy: str = RESTORE) -> Any:
    """Read a YAML document from a file; see `parse_yaml`.

    Raises:
        error: the file is absent or larger than `YAML_LIMIT` bytes, or is no YAML that `parse_yaml` takes.
    """
    return parse_yaml(read_text(path, error, limit=YAML_LIMIT, remedy=remedy), path, error, remedy=remedy)


class _PlainLoader(yaml.SafeLoader):
    """A loader without aliases, by which a few hundred bytes describe more values than memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not supported; write the value again")
        return super().compose_node(parent, index)

    def construct_scalar(self, node: Any) -> Any:
        if node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float") and len(node.value) > MAX_NUMBER:
            raise yaml.YAMLError(f"a number of more than {MAX_NUMBER} characters")
        return super().construct_scalar(node)


def check_depth(content: Any) -> None:
    """Check the depth of nested lists and dictionaries.

    Raises:
        ValueError: they are nested deeper than `MAX_DEPTH`.
    """
    level: list[Any] = [content]
    for _ in range(MAX_DEPTH + 1):
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _whole_number(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise ValueError(f"a whole number of more than {MAX_DIGITS} digits")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{shorten(text, 30)} is beyond the range of numbers")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
