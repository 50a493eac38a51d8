"""Numbers and JSON values as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MISSING = "–"
"""The text of an absent value."""
MAX_LIST_ITEMS = 12
"""A longer list (a curve, for example) is shown as its number of values."""


def percent(fraction: float | None) -> str:
    """Return a fraction in percent with two decimals, without the percent sign."""
    return MISSING if fraction is None else f"{100 * fraction:.2f}"


def interval(ends: Sequence[float] | None) -> str:
    """Return the two ends of an interval of fractions in percent; empty without an interval."""
    return "" if ends is None else f"[{percent(ends[0])}, {percent(ends[1])}]"


def with_interval(fraction: float | None, ends: Sequence[float] | None) -> str:
    """Return a fraction in percent, followed by its interval."""
    return f"{percent(fraction)} {interval(ends)}".strip()


def count(number: int | None) -> str:
    """Return a whole number with commas between thousands."""
    return MISSING if number is None else f"{number:,}"


def millions(number: int | None) -> str:
    """Return a count in millions with three significant figures."""
    return MISSING if number is None else f"{number / 1e6:#.3g} M".replace(". M", " M")


def nats(value: float | None) -> str:
    """Return a likelihood or divergence in nats with four decimals."""
    return MISSING if value is None else f"{value:.4f}"


def model(spec: Mapping[str, Any] | None, parameters: int | None = None) -> str:
    """Return a short description of a model, e.g. ``mobilenetv2 x0.5, 64 px, 128-d``.

    Args:
        spec: the fields of `facekd.models.registry.ModelSpec`, or None for an unknown model.
        parameters: the number of parameters, which tells one ``graph`` from another.
    """
    if not spec:
        return MISSING
    width = (spec.get("options") or {}).get("width", 1)
    width_text = f" x{width:g}" if isinstance(width, (int, float)) and width != 1 else ""
    if spec["name"] == "graph" and parameters is not None:
        width_text = f", {millions(parameters)} parameters"
    return f"{spec['name']}{width_text}, {spec.get('size', MISSING)} px, {spec.get('outputs', MISSING)}-d"


def latency(record: Mapping[str, Any]) -> str:
    """Return the fields of `facekd.deploy.benchmark.latency.Latency` as a sentence."""
    low, high = record["quartiles_ms"]
    return f"{record['median_ms']:.2f} ms (quartiles {low:.2f} to {high:.2f}, 95 % within {record['p95_ms']:.2f})"


def flatten(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield a JSON value as pairs of a dotted key and a readable value, in the order of the file.

    Args:
        value: the JSON value.
        key: the dotted key of the value itself.
    """
    if isinstance(value, Mapping) and {"median_ms", "quartiles_ms", "p95_ms"} <= set(value):
        yield key, latency(value)
    elif isinstance(value, Mapping):
        for name, child in value.items():
            yield from flatten(child, f"{key}.{name}" if key else str(name))
    elif isinstance(value, (list, tuple)) and any(isinstance(item, (Mapping, list)) for item in value):
        for index, child in enumerate(value):
            yield from flatten(child, f"{key}.{index}")
    elif isinstance(value, (list, tuple)) and len(value) > MAX_LIST_ITEMS:
        yield key, f"{len(value)} values"
    elif isinstance(value, (list, tuple)):
        yield key, ", ".join(_scalar(item) for item in value) or MISSING
    else:
        yield key, _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value) if abs(value) >= 10_000 else str(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
