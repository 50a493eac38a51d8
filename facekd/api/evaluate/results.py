"""Result files of evaluations: their location and the fields that they share."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facekd.data.features.provenance import provenance_path
from facekd.errors import DataError, SetupError
from facekd.io import files
from facekd.io.locks import lock_output
from facekd.io.outputs import MAX_PLAIN_BYTES, check_writable, plain_name
from facekd.models.embedder import Embedder
from facekd.run import Run
from facekd.text import path_text, printable
from facekd.utils.console import notify
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
    kept_file = _kept_file(model, kind, name, json)
    for file in (json, kept_file):
        if file:
            check_writable(file)
    given = [*inputs, model, *features, *(provenance_path(Path(path)) for path in features)]
    if json and Path(json).resolve() in [Path(path).resolve() for path in given if path]:
        raise DataError(f"--json {path_text(json)} would replace an input or what belongs to it; give another file")
    with lock_output(json), lock_output(kept_file):
        yield


def save_result(kind: str, name: str, content: Mapping[str, Any], *, model: Path | str | None,
                embedder: Embedder | None, json: Path | str | None) -> Path | None:
    """Write a result to the file that the user named, and to the results of the run.

    Without a file of the user, a verification of a model that is a single file is kept beside it, see `kept_results`;
    a message says so.

    Args:
        kind: kind of evaluation: ``verify``, ``agree``, ``megaface``, ``ijb``, ``identify``, ``classify`` or
            ``all``.
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
    kept_file = _kept_file(model, kind, name, json)
    for file in (json, kept_file):
        if file:
            files.write_json(Path(file), record)
    if kept_file and not _is_run(model):
        notify(f"the result is kept in {path_text(kept_file)}, where 'facekd compare' finds its thresholds; --json "
               "FILE writes it elsewhere")
        return None
    return kept_file.parent if kept_file else None


def kept_results(model: Path | str) -> Path:
    """Return the folder of a model's results: ``results`` of a run, ``MODEL.onnx.results`` beside any other file."""
    path = Path(model)
    return Run(path).results if _is_run(path) else path.with_name(f"{path.name}.results")


def _kept_file(model: Path | str | None, kind: str, name: str, json: Path | str | None) -> Path | None:
    """Return the file that keeps a result with its model; None if there is none.

    A run keeps every result. A model that is a single file keeps a verification if the user names no other file, its
    folder can be written, and it is no file of a package, which holds its own thresholds.
    """
    if model is None:
        return None
    file = kept_results(model) / f"{kind}-{name}.json"
    if _is_run(model):
        return file
    path = Path(model)
    if kind != "verify" or json or not path.is_file() or (path.parent / "metadata.json").is_file():
        return None
    try:
        check_writable(file)
    except SetupError:
        return None
    return file


def _is_run(model: Path | str | None) -> bool:
    return model is not None and os.path.isfile(Path(model) / "run.json")
