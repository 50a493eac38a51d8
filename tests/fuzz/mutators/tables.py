"""Damage to Parquet files: a table with other values, columns, types or metadata, or damage to its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet

from tests.fuzz.mutators import binary, containers, tree

LABELS = (-1, 0, 1, 99, 2**24, 2**31, 2**40, 2**62, None)
NAMES = ("image", "img", "label", "fine_label", "", "x" * 300, "\x1b", "bytes", "\ud83d\ude00")


def mutate_parquet(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return a Parquet file with a changed table, or damage anywhere."""
    if rng.random() < 0.4:
        return binary.mutate(rng, data, others)
    try:
        table = parquet.read_table(arrow.BufferReader(data), use_threads=False)
        for _ in range(rng.randint(1, 3)):
            table = _change(rng, table)
        sink = arrow.BufferOutputStream()
        parquet.write_table(table, sink, compression=rng.choice(("NONE", "SNAPPY", "GZIP")),
                            row_group_size=rng.choice((1, 3, 100)), use_dictionary=rng.random() < 0.5)
    except (arrow.ArrowException, ValueError, TypeError, OverflowError, KeyError):  # a change that cannot be stored
        return binary.mutate(rng, data, others)
    return bytes(sink.getvalue())


def _change(rng: Random, table: Any) -> Any:
    names = table.column_names
    column = rng.randrange(len(names))
    match rng.randrange(7):
        case 0:
            names[column] = rng.choice(NAMES)
            return table.rename_columns(names)
        case 1:
            return table.remove_column(column) if len(names) > 1 else table
        case 2:
            return table.append_column(rng.choice(NAMES), table.column(column))
        case 3:
            about = (table.schema.metadata or {}).get(b"huggingface", b'{"info": {"features": {}}}')
            key = rng.choice((b"huggingface", b"classes"))
            return table.replace_schema_metadata({key: tree.mutate_json(rng, about)})
        case 4:
            return table.slice(rng.randrange(len(table) + 1), rng.randrange(4))
        case _:
            values = [_value(rng, value) for value in table.column(column).to_pylist()]
            return table.set_column(column, names[column], arrow.array(values))


def _value(rng: Random, value: Any) -> Any:
    if rng.random() < 0.5:
        return value
    if isinstance(value, dict):
        content = value.get("bytes") or b""
        changed = rng.choice((None, b"", content[:9], containers.mutate_image(rng, content) if content else b"x"))
        return {**value, "bytes": changed}
    return rng.choice(LABELS)
