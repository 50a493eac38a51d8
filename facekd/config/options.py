"""Options of what is made by name (networks, losses): checked against their defaults before anything is made."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from facekd.errors import ModelError


def resolve(maker: Callable[..., Any], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Every option of a maker: the value given for it, else its default.

    Args:
        maker: a function or class; its options are its keyword-only arguments, each with a default.
        given: options as people write them: JSON's lists become tuples where the default is one, whole numbers floats.
        where: begins the sentence of an error, e.g. the network's name.

    Raises:
        ModelError: an option the maker does not have, or a value unlike its default; a number must be finite and not
            below 0, or not below its default where that is negative.
    """
    parameters = inspect.signature(maker).parameters
    defaults = {key: p.default for key, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    for key in given:
        if key not in defaults:
            valid = ", ".join(sorted(defaults)) or "none"
            raise ModelError(f"{where}: unknown option '{key}'; its options are: {valid}")
    return {
        key: _like(default, given[key], f"{where}: option '{key}'") if key in given else default
        for key, default in defaults.items()
    }


def _like(default: Any, value: Any, where: str) -> Any:
    """The value in the type of the default, or a ModelError."""
    if isinstance(default, tuple):
        if isinstance(value, (tuple, list)) and len(value) == len(default):
            return tuple(_like(one, given, where) for one, given in zip(default, value, strict=True))
        raise ModelError(f"{where} must be {len(default)} values like {list(default)}, not {value!r}")
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        raise ModelError(f"{where} must be like {default!r}, not {value!r}")
    if isinstance(default, (int, float)) and not isinstance(default, bool):
        least = min(0, default)
        if not least <= value < math.inf:
            raise ModelError(f"{where} must be a finite number of at least {least}, not {value!r}")
    return value
