"""JSON and YAML of strangers are bounded in size, depth and digits."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekd.errors import DataError, RouteError
from facekd.io.documents import MAX_DEPTH, parse_json, parse_yaml, read_json, read_yaml


@pytest.mark.parametrize(("content", "message"), [
    (None, "does not exist; check the path"),
    (b'{"a": ', "cannot be read as JSON"),
    (b"\xff\xfe", "cannot be read"),
    (b"[1]", "holds a JSON list, an object is needed"),
])
def test_a_file_that_is_no_json_object_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RouteError, match=rf"plan\.json {message}"):
        read_json(path, RouteError)


@pytest.mark.parametrize(("text", "reason"), [
    ("[" * 100_000, "nested too deeply"),
    ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), f"nested deeper than {MAX_DEPTH} levels"),
    ("1" * 19, "more than 18 digits"),
    ("-" + "1" * 5000, "more than 18 digits"),
    ("NaN", "NaN is no JSON number"),
    ("[Infinity]", "Infinity is no JSON number"),
])
def test_json_without_bounds_is_refused(text: str, reason: str) -> None:
    with pytest.raises(DataError, match=f"^x cannot be read as JSON .*{reason}"):
        parse_json(text, "x")


def test_json_within_the_bounds_is_read() -> None:
    depth = MAX_DEPTH - 1
    assert parse_json("[" * depth + "]" * depth, "x")
    assert parse_json('{"a": -12, "b": [1.5, null, true]}', "x") == {"a": -12, "b": [1.5, None, True]}


BOMB = "x: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"x{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(("text", "reason"), [
    (BOMB, "aliases"),
    ("a: &a [*a]", "aliases"),
    ("seed: " + "[" * 3000, "nested too deeply"),
    ("seed: 2001-99-99", "month must be in 1..12"),
    ("seed: " + "9" * 5000, "more than 40 characters"),
    ("seed: " + "1:" * 30_000 + "1", "more than 40 characters"),
    ("seed: " + "1:" * 30_000 + "1.5", "more than 40 characters"),
    ("? [a]\n: 1\n", "unhashable"),
    ("a: !!python/object/apply:os.system ['true']", "line 1: could not determine a constructor"),
    ("a: " + "x" * (1 << 16), "more than 65,536 characters"),
])
def test_yaml_without_bounds_is_refused(text: str, reason: str) -> None:
    with pytest.raises(DataError, match=f"(?s)^x cannot be read as YAML .*{reason}") as raised:
        parse_yaml(text, "x")
    assert len(str(raised.value)) < 300


def test_yaml_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: {b: [1, 2.5, x]}\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": {"b": [1, 2.5, "x"]}}
    with pytest.raises(DataError, match="cannot be read"):
        read_yaml(tmp_path)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 400 + ".0"])
def test_a_number_beyond_float64_is_refused(number: str) -> None:
    with pytest.raises(DataError, match="is beyond the range of numbers"):
        parse_json(f'{{"a": {number}}}', "file")
