"""What facekd reads back from its own JSON files: pydantic models, and their errors as sentences."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from facekd.errors import FacekdError
from facekd.io.reading import RESTORE
from facekd.io.temporaries import MAX_NAME_BYTES
from facekd.text import path_text, short_repr, shorten

MAX_KEY = 120
"""Characters of a dotted key in a message."""
MAX_PATH_BYTES = 1000
MAX_PHRASES = 2
"""Mistakes that a message names."""


def _check_file_name(name: str) -> str:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or not name or "\0" in name:
        raise ValueError("a file inside of the folder is needed")
    lengths = [len(os.fsencode(level)) for level in PurePosixPath(name).parts]
    if max(lengths, default=0) > MAX_NAME_BYTES or sum(lengths) > MAX_PATH_BYTES:
        raise ValueError("the name is too long")
    return name


FileName = Annotated[str, AfterValidator(_check_file_name)]
"""The path of a file relative to the folder of its record, in which it must be."""
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
Interval = Annotated[list[float], Field(min_length=2, max_length=2)]
"""The ends of an interval."""


class Record(BaseModel):
    """Base class of the content of a JSON file: frozen, types are not converted, unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


S = TypeVar("S", bound=BaseModel)


def check_record(schema: type[S], content: Mapping[str, Any], source: Path | str, error: type[FacekdError], *,
                 remedy: str = RESTORE) -> S:
    """Return the content of a file as an object of its schema.

    Args:
        schema: the model of the content.
        content: the parsed content.
        source: the file, for the message.
        error: the type of error to raise.
        remedy: what the user should do.

    Raises:
        error: keys are missing, unknown or have a value of another type; the first ones are named.
    """
    try:
        return schema.model_validate(content)
    except ValidationError as problem:
        phrases = [explain(dict(details)) for details in problem.errors()[:MAX_PHRASES]]
        more = problem.error_count() - len(phrases)
        text = ", ".join(phrases) + (f" and {more:,} more" if more else "")
        raise error(f"{path_text(source)} is damaged: {text}; {remedy}") from None


def tuples_to_lists(value: Any) -> Any:
    """Return a value of mappings, sequences and scalars with lists in place of tuples, as it is read back from JSON."""
    if isinstance(value, Mapping):
        return {key: tuples_to_lists(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [tuples_to_lists(item) for item in value]
    return value


def dotted_key(details: Mapping[str, Any]) -> str:
    """Return the key of one of pydantic's errors with dots between its levels, e.g. ``stages.0.share``."""
    # pydantic names a validator between the keys as "function-after[...]".
    levels = [str(level) for level in details["loc"] if not str(level).startswith("function-")]
    return shorten(".".join(levels), MAX_KEY)


def explain(details: Mapping[str, Any]) -> str:
    """Return one of pydantic's errors as a phrase: the key, what is wrong, and the value in short."""
    key = dotted_key(details)
    if details["type"] == "missing":
        return f"'{key}' is missing"
    if details["type"] == "extra_forbidden":
        return f"'{key}' is no key of this file"
    message = details["msg"].removeprefix("Value error, ")
    message = shorten(message[:1].lower() + message[1:], 200)
    label = f"'{key}': " if key else ""
    if isinstance(details["input"], Mapping):
        return f"{label}{message}"
    return f"{label}{message}, not {short_repr(details['input'])}"
