"""Seeded damage to valid files: each mutator maps a random state, a file and other valid files to a damaged one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from tests.fuzz.mutators import arrays, binary, containers, pickles, protobuf, tables, text, tree

Mutator = Callable[[Random, bytes, Sequence[bytes]], bytes]

MUTATORS: Mapping[str, Mutator] = {
    "binary": binary.mutate, "image": containers.mutate_image, "json": tree.mutate_json, "npy": arrays.mutate_npy,
    "parquet": tables.mutate_parquet, "pickle": pickles.mutate, "protobuf": protobuf.mutate,
    "recordio": containers.mutate_recordio, "safetensors": arrays.mutate_safetensors, "tar": containers.mutate_tar,
    "text": text.mutate, "yaml": tree.mutate_yaml, "zip": arrays.mutate_zip,
}
"""The mutators by name; `Parser.targets` refers to them."""
