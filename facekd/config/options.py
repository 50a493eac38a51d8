"""Options of networks, heads and losses: validated against the defaults of their factory before the object is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from facekd.errors import OptionError
from facekd.text import short_repr, shorten

MAX_NUMBER = 1e9
"""The largest number of an option; networks have lower limits."""


def resolve_options(factory: Callable[..., Any], options: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Return every option of a factory: the given value, or the default.

    Args:
        factory: a function or class; its options are its keyword-only arguments, each with a default.
        options: the given values, as YAML or JSON holds them. A list becomes a tuple where the default is a tuple, and
            a whole number becomes a float where the default is a float.
        owner: the beginning of an error message, e.g. the name of the network.

    Raises:
        OptionError: the factory has no such option, or the type of a value differs from the type of its default; a
            number is beyond `MAX_NUMBER`, or is below 0 (below its default where the default is negative).
    """
    defaults = default_options(factory)
    for key in options:
        if key not in defaults:
            valid = ", ".join(sorted(defaults)) or "none"
            raise OptionError(f"{owner}: unknown option '{shorten(key, 80)}'; its options are: {valid}")
    resolved = dict(defaults)
    for key, value in options.items():
        resolved[key] = _convert(value, defaults[key], f"{owner}: option '{key}'")
    return resolved


def option_problems(factory: Callable[..., Any], options: Mapping[str, Any], owner: str) -> Iterator[str]:
    """Yield every mistake in the options of a factory, see `resolve_options`."""
    for key, value in options.items():
        try:
            resolve_options(factory, {key: value}, owner)
        except OptionError as error:
            yield str(error)


def default_options(factory: Callable[..., Any]) -> dict[str, Any]:
    """Return the options of a factory with their defaults."""
    parameters = inspect.signature(factory).parameters
    return {key: p.default for key, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


def _convert(value: Any, default: Any, label: str) -> Any:
    """Return the value in the type of the default; raise an OptionError where that is not possible."""
    if isinstance(default, tuple):
        if isinstance(value, (tuple, list)) and len(value) == len(default):
            return tuple(_convert(item, item_default, label) for item, item_default in zip(value, default, strict=True))
        raise OptionError(f"{label} must be {len(default)} values like {list(default)}, not {short_repr(value)}")
    if isinstance(default, float) and type(value) is int and abs(value) <= MAX_NUMBER:
        value = float(value)
    if type(value) is not type(default):  # isinstance would accept a bool for an int
        raise OptionError(f"{label} must be like {default!r}, not {short_repr(value)}")
    if isinstance(default, (int, float)) and not isinstance(default, bool):
        minimum = min(0, default)
        if not minimum <= value <= MAX_NUMBER:
            raise OptionError(f"{label} must be a finite number from {minimum} to {MAX_NUMBER:g}, not "
                              f"{short_repr(value)}")
    return value
