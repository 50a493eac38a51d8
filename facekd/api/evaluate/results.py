"""Where the evaluation verbs keep their results, and what stands in every result file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facekd.models.embedder import Embedder
from facekd.run import Run, environment
from facekd.utils import files


def keep(model: Path | str | None, embedder: Embedder | None, kind: str, name: str, content: Mapping[str, Any],
         json: Path | str | None) -> Path | None:
    """Write a result to where it was asked for, and to the run's results.

    Args:
        model: what was measured, as the person gave it; None for features.
        embedder: the model itself.
        kind: what was measured: ``verify``, ``megaface``, ``ijb``, ``search``, ``classify`` or ``all``.
        name: what the result is called.
        content: the figures.
        json: a file to write, where one was asked for.

    Returns:
        The run's folder of results, where ``KIND-NAME.json`` is written; None where the model is no run folder.

    Raises:
        SetupError: the disk is full.
    """
    facts = environment()
    whole = {**content, "kind": kind, "name": name, "model": str(model) if model else None,
             "model_sha256": embedder.fingerprint if embedder else None,
             "hardware": facts["hardware"]["label"], "command": facts["command"]}
    if json:
        files.write_json(Path(json), whole)
    if model is None or not (Path(model) / "run.json").is_file():
        return None
    folder = Run(Path(model)).results
    files.write_json(folder / f"{kind}-{name}.json", whole)
    return folder
