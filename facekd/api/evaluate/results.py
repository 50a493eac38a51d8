"""Result files of evaluations: their location and the fields that they share."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facekd.data.features.provenance import provenance_path
from facekd.errors import DataError
from facekd.io import files
from facekd.io.locks import lock_output
from facekd.io.outputs import MAX_PLAIN_BYTES, check_writable, plain_name
from facekd.models.embedder import Embedder
from facekd.run import Run
from facekd.text import path_text, printable
from facekd.utils.environment import environment


def result_name(name: str | None, default: str) -> str:
    """Return the name of a result, which is part of file names.

    Args:
        name: the name that the user gave, or None.
        default: the name otherwise, of a file or folder; what no result's name should have is replaced.

    Raises:
        DataError: the name that the user gave is no plain file name.
    """
    if name is not None:
        return plain_name(name, error=DataError)
    text = printable(default).replace("\\", "_").lstrip(".-")
    return text.encode(errors="replace")[: MAX_PLAIN_BYTES].decode(errors="ignore") or "result"


@contextmanager
def result_output(kind: str, name: str, *, model: Path | str | None, json: Path | str | None,
                  inputs: Sequence[Path | str | None] = (), features: Sequence[Path | str] = ()) -> Iterator[None]:
    """Check before the work that a result can be written, and hold the locks of its files while the block works.

    Args:
        kind: kind of evaluation, see `save_result`.
        name: name of the result, see `result_name`.
        model: path of the model as the user gave it; None for features.
        json: a file to write, or None.
        inputs: files and folders that the evaluation reads; ``json`` must be none of them.
        features: feature files that it reads; ``json`` must not be the file of their provenance either.

    Raises:
        DataError: ``json`` is an input.
        SetupError: a file cannot be written, or another process writes it.
    """
    run_file = _run_file(model, kind, name)
    for file in (json, run_file):
        if file:
            check_writable(file)
    given = [*inputs, model, *features, *(provenance_path(Path(path)) for path in features)]
    if json and Path(json).resolve() in [Path(path).resolve() for path in given if path]:
        raise DataError(f"--json {path_text(json)} would replace an input or what belongs to it; give another file")
    with lock_output(json), lock_output(run_file):
        yield


def save_result(kind: str, name: str, content: Mapping[str, Any], *, model: Path | str | None,
                embedder: Embedder | None, json: Path | str | None) -> Path | None:
    """Write a result to the file that the user named, and to the results of the run.

    Args:
        kind: kind of evaluation: ``verify``, ``megaface``, ``ijb``, ``identify``, ``classify`` or ``all``.
        name: name of the result.
        content: the figures.
        model: path of the model as the user gave it; None for features.
        embedder: the loaded model; None for features.
        json: a file to write, or None.

    Returns:
        The results folder of the run, where ``KIND-NAME.json`` is written; None if the model is no run folder.

    Raises:
        SetupError: a file cannot be written.
    """
    facts = environment()
    record = {
        **content, "kind": kind, "name": name, "model": str(model) if model else None,
        "model_sha256": embedder.fingerprint if embedder else None, "input": embedder.input_facts() if embedder else {},
        "hardware": facts["hardware"]["label"], "command_line": facts["command_line"],
    }
    run_file = _run_file(model, kind, name)
    for file in (json, run_file):
        if file:
            files.write_json(Path(file), record)
    return run_file.parent if run_file else None


def _run_file(model: Path | str | None, kind: str, name: str) -> Path | None:
    """Return the file of a result in its run; None if the model is no run folder."""
    if model is None or not os.path.isfile(Path(model) / "run.json"):
        return None
    return Run(Path(model)).results / f"{kind}-{name}.json"
