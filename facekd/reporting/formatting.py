"""Figures as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

NONE = "–"
LONGEST_LIST = 12
"""Longer lists (a curve, say) are counted, not shown."""


def percent(fraction: float | None) -> str:
    """A fraction in percent with two decimals, without the sign."""
    return NONE if fraction is None else f"{100 * fraction:.2f}"


def interval(ends: Sequence[float] | None) -> str:
    """The two ends of an interval of fractions in percent; empty where there is none."""
    return "" if ends is None else f"[{percent(ends[0])}, {percent(ends[1])}]"


def with_interval(fraction: float | None, ends: Sequence[float] | None) -> str:
    """A fraction in percent and its interval."""
    return f"{percent(fraction)} {interval(ends)}".strip()


def count(number: int | None) -> str:
    """A whole number with commas between thousands."""
    return NONE if number is None else f"{number:,}"


def millions(number: int | None) -> str:
    """A count in millions with three significant figures."""
    return NONE if number is None else f"{number / 1e6:#.3g} M".replace(". M", " M")


def nats(value: float | None) -> str:
    """A likelihood or divergence in nats with four decimals."""
    return NONE if value is None else f"{value:.4f}"


def model(spec: Mapping[str, Any] | None) -> str:
    """A model description in a few words."""
    if not spec:
        return NONE
    width = (spec.get("options") or {}).get("width")
    wide = "" if width in (None, 1) else f" x{width:g}"
    outputs = spec.get("outputs", spec.get("embedding"))  # called embedding before class sets came
    return f"{spec['name']}{wide}, {spec['size']} px, {outputs}-d"


def latency(record: Mapping[str, Any]) -> str:
    """The fields of `facekd.deploy.benchmark.latency.Latency` as a sentence."""
    low, high = record["quartiles_ms"]
    return f"{record['median_ms']:.2f} ms (quartiles {low:.2f} to {high:.2f}, 95 % within {record['p95_ms']:.2f})"


def flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """A JSON value as pairs of a dotted key and a readable value, in the order of the file; long lists are counted."""
    if isinstance(value, Mapping) and {"median_ms", "quartiles_ms", "p95_ms"} <= set(value):
        yield key, latency(value)
    elif isinstance(value, Mapping):
        for name, below in value.items():
            yield from flat(below, f"{key}.{name}" if key else str(name))
    elif isinstance(value, (list, tuple)) and any(isinstance(item, (Mapping, list)) for item in value):
        for number, below in enumerate(value):
            yield from flat(below, f"{key}.{number}")
    elif isinstance(value, (list, tuple)) and len(value) > LONGEST_LIST:
        yield key, f"{len(value)} values"
    elif isinstance(value, (list, tuple)):
        yield key, ", ".join(_plain(item) for item in value) or NONE
    else:
        yield key, _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value) if abs(value) >= 10_000 else str(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
