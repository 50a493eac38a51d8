"""Result files of evaluations: their location and the fields that they share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facekd.models.embedder import Embedder
from facekd.run import Run
from facekd.utils import files
from facekd.utils.environment import environment


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
        SetupError: the disk is full.
    """
    facts = environment()
    record = {
        **content, "kind": kind, "name": name, "model": str(model) if model else None,
        "model_sha256": embedder.fingerprint if embedder else None,
        "hardware": facts["hardware"]["label"], "command_line": facts["command_line"],
    }
    if json:
        files.write_json(Path(json), record)
    if model is None or not (Path(model) / "run.json").is_file():
        return None
    folder = Run(Path(model)).results
    files.write_json(folder / f"{kind}-{name}.json", record)
    return folder
