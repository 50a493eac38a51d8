"""The damaged inputs of a parser: number N of a seed is always the same, whichever process makes it."""

from __future__ import annotations

import base64
import json
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutators import MUTATORS
from tests.fuzz.parser import Files, Parser, write

CASES = Path(__file__).with_name("cases")


@dataclass(frozen=True)
class Input:
    """A valid input of a parser with other content of some files.

    Attributes:
        seed: the number of the valid input.
        changes: the new content of files; None for a file that is absent.
    """

    seed: int
    changes: Mapping[str, bytes | None]

    def to_json(self) -> dict[str, object]:
        """Return the input for a file of regression cases."""
        return {"seed": self.seed, "files": {name: None if content is None else _pack(content)
                                             for name, content in self.changes.items()}}


def _pack(content: bytes) -> str:
    return base64.b85encode(zlib.compress(content, 9)).decode("ascii")


def make_input(parser: Parser, seeds: Sequence[Files], seed: int, number: int) -> Input:
    """Return damaged input ``number`` of a seed: mostly one file of a valid input is damaged, sometimes several."""
    rng = Random(f"{seed} {parser.name} {number}")
    chosen = rng.randrange(len(seeds))
    files = seeds[chosen]
    names = [name for name in files if parser.mutator_of(name)]
    changes: dict[str, bytes | None] = {}
    for _ in range(1 if rng.random() < 0.9 else 2):
        name = rng.choice(names)
        others = [other[name] for other in seeds if name in other]
        kind = rng.random()
        if kind < 0.004:
            changes[name] = None
        else:
            data = changes.get(name) or files[name]
            changes[name] = b"" if kind < 0.008 else _damage(rng, parser.mutator_of(name) or "binary", data, others)
    return Input(chosen, changes)


def _damage(rng: Random, kind: str, data: bytes, others: Sequence[bytes]) -> bytes:
    try:
        return MUTATORS[kind](rng, data, others)
    except Exception:  # what was damaged before need not be of the mutator's format any more
        return MUTATORS["binary"](rng, data, others)


def read_cases(parser: Parser) -> list[Input]:
    """Return the inputs that once broke the contract, from ``cases/PARSER.json``."""
    file = CASES / f"{parser.name}.json"
    if not file.exists():
        return []
    return [parse_input(case) for case in json.loads(file.read_text(encoding="utf-8"))]


def parse_input(record: Mapping[str, Any]) -> Input:
    """Return the input of a record of `Input.to_json`."""
    return Input(record["seed"], {name: None if content is None else zlib.decompress(base64.b85decode(content))
                                  for name, content in record["files"].items()})


class InputFolder:
    """The valid inputs of a parser on disk, each in a folder of its own, of which single files are replaced.

    Args:
        folder: an empty folder.
        parser: the parser.
        seeds: its valid inputs.
    """

    def __init__(self, folder: Path, parser: Parser, seeds: Sequence[Files]) -> None:
        self._parser = parser
        self._seeds = seeds
        self._folders = [write(folder / f"input{number}", files) for number, files in enumerate(seeds)]

    @contextmanager
    def damaged(self, item: Input) -> Iterator[Path]:
        """Yield the folder of a valid input with the changes of ``item``, and restore it afterwards."""
        folder = self._folders[item.seed]
        for name, content in item.changes.items():
            _replace(folder / name, content)
        try:
            yield folder
        finally:
            for name in self._parser.scratch:
                _remove(folder / name)
            for name in item.changes:
                _replace(folder / name, self._seeds[item.seed].get(name))

    def valid(self) -> Iterator[Path]:
        """Yield the folder of every valid input."""
        for number in range(len(self._seeds)):
            with self.damaged(Input(number, {})) as folder:
                yield folder


def _replace(path: Path, content: bytes | None) -> None:
    # Readers map files into memory: a new file leaves what an earlier input mapped as it was.
    _remove(path)
    if content is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
