"""Damage to JSON and YAML that knows their values: other types, extremes, lost and doubled keys, deep nesting."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import yaml

from tests.fuzz.mutators import text

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 2**31, 2**63, 2**64, 10**17, 10**30, 0.5, -0.5, 1e308, -1e308, 1e-320,
    float("nan"), float("inf"), float("-inf"), "", " ", "a", "0", "1e999", "nan", "\x00", "\x1b]0;t\x07", "a\nb",
    "x" * 300, "x" * 5000, "../../x", "/etc/passwd", "/dev/zero", "/proc/self/mem", "\ud800", "\u202e", "\u2028",
    "$\\frac{$",
    "=HYPERLINK(\"a\")", "<script>", "|", "%s", "{0}", [], {}, [0], [None], [[]], [1, 2, 3], ["a", "b"], {"a": 1},
    {"": None},
    {"a": {"b": {"c": []}}}, [float("nan")], ["x" * 1000] * 5, list(range(200)), {str(key): key for key in range(100)},
)
KEYS = ("", " ", "a", "name", "\x1b", "\ud800", "x" * 300, "format", "version", "0", "__class__", "self")
DEEP = (70, 300, 3000, 100_000)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value below a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from places(child, (*path, key))


def get(tree: Any, path: Sequence[Any]) -> Any:
    """Return the value at a path."""
    for key in path:
        tree = tree[key]
    return tree


def change(rng: Random, tree: Any) -> Any:
    """Return the tree, which is modified, with one value changed."""
    paths = list(places(tree))
    if not paths or rng.random() < 0.02:
        return copy.deepcopy(rng.choice(VALUES))
    *parents, key = rng.choice(paths)
    parent = get(tree, parents)
    kind = rng.random()
    if kind < 0.45:
        parent[key] = copy.deepcopy(rng.choice(VALUES))
    elif kind < 0.55:
        parent[key] = near(rng, parent[key])
    elif kind < 0.7:
        del parent[key]
    elif kind < 0.78:
        parent[key] = copy.deepcopy(get(tree, rng.choice(paths)))
    elif kind < 0.84:
        parent[key] = [parent[key]] if rng.random() < 0.5 else {rng.choice(KEYS): parent[key]}
    elif isinstance(parent, list):
        parent[key:key] = [parent[key]] * rng.choice((1, 1, 3, 100))
    elif kind < 0.92:
        parent[rng.choice(KEYS)] = parent.pop(key)
    else:
        parent[rng.choice(KEYS)] = copy.deepcopy(rng.choice(VALUES))
    return tree


def near(rng: Random, value: Any) -> Any:
    """Return a value of the same type that is likely to be out of range."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, (int, float)):
        return rng.choice((-value, value + 1, value - 1, value * 1000, value * 10**9, value + 0.5, float(value)))
    if isinstance(value, str):
        return rng.choice((value + value, value[:-1], value + "\n", value.upper(), f" {value}", value * 100))
    return [value, value]


def mutate_json(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return a JSON document with damaged values, or with damage to its text."""
    if rng.random() < 0.2:
        return text.mutate(rng, data, others)
    try:
        tree = json.loads(rng.choice(others) if others and rng.random() < 0.1 else data)
    except ValueError:  # lines of JSON objects
        return mutate_json_lines(rng, data, others)
    for _ in range(min(5, 1 + int(rng.expovariate(1.2)))):
        tree = change(rng, tree)
    document = dump(rng, tree)
    return nest(rng, document) if rng.random() < 0.02 else document


def mutate_json_lines(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return lines of JSON objects, one of them damaged."""
    lines = data.split(b"\n")
    number = rng.randrange(len(lines))
    try:
        tree = json.loads(lines[number])
    except ValueError:
        return text.mutate(rng, data, others)
    lines[number] = nest(rng, dump(rng, change(rng, tree))) if rng.random() < 0.05 else dump(rng, change(rng, tree))
    return b"\n".join(lines)


def dump(rng: Random, tree: Any) -> bytes:
    """Return a tree as JSON."""
    document = json.dumps(tree, ensure_ascii=rng.random() < 0.7, indent=rng.choice((None, 2)))
    return document.encode("utf-8", "surrogatepass")


def nest(rng: Random, document: bytes) -> bytes:
    """Return the document with something deeply nested at a place of a value."""
    depth = rng.choice(DEEP)
    deep = rng.choice((b"[" * depth + b"]" * depth, b"{\"a\":" * depth + b"1" + b"}" * depth, b"[" * depth))
    starts = [index for index, sign in enumerate(document) if sign == ord(":")]
    place = rng.choice(starts) + 1 if starts else 0
    end = next((index for index in range(place, len(document)) if document[index] in b",}\n"), len(document))
    return document[:place] + b" " + deep + document[end:]


def mutate_yaml(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return a YAML document with damaged values, or with damage to its text."""
    if rng.random() < 0.5:
        return text.mutate(rng, data, others)
    try:
        tree = yaml.load(data, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (safe loaders)
    except (yaml.YAMLError, ValueError, RecursionError):  # damaged already
        return text.mutate(rng, data, others)
    if not isinstance(tree, (dict, list)):
        return text.mutate(rng, data, others)
    for _ in range(min(5, 1 + int(rng.expovariate(1.2)))):
        tree = change(rng, tree)
    document = dump(rng, tree)  # JSON is YAML
    return nest(rng, document) if rng.random() < 0.03 else document
