"""``facekd eval all``: one model on every evaluation set that a folder holds."""

from __future__ import annotations

import hashlib
import json as json_text
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from facekd import distributed as ranks
from facekd.api.evaluate.ijb import ijb
from facekd.api.evaluate.megaface import megaface
from facekd.api.evaluate.results import keep
from facekd.api.evaluate.verify import verify
from facekd.data.containers.path_list import some
from facekd.data.discovery import EvaluationSet, find_sets
from facekd.data.megaface.template_lists import sizes_in
from facekd.errors import DataError, ModelError, SetupError
from facekd.evaluation.embedding.extract import origin
from facekd.models.embedder import Embedder
from facekd.models.loading import load
from facekd.reporting.tables.evaluation import Row, Suite
from facekd.run import Run, environment
from facekd.utils import files
from facekd.utils.progress import console

Results = Mapping[str, Mapping[str, Any]]
"""What a set gave: the fields of a result, by what tells several results of one set apart."""


def evaluate_all(model: Path | str, sets: Path | str, json: Path | str | None = None, flip: bool = True,
                 device: str = "auto", features: Path | str | None = None) -> Suite:
    """Measure a model on every set of a folder; a set that is missing or fails is in the table and stops no other.

    The table so far is written after every set, to ``json`` and, of a run folder, to ``results/all-FOLDER.json``.
    Called again, results that stand there are used again if model, options and versions are the same and path, size and
    time of every file of the set are.

    Args:
        model: see `facekd.models.loading.load`.
        sets: see `facekd.data.discovery.find_sets`; IJB needs features of its images by this model beside its
            files, see `facekd.api.embed.embed`.
        json: a result file to write; a run folder gets all of them in ``results/`` in any case.
        flip: sum image and mirror.
        device: for torch models.
        features: folder to keep MegaFace's embeddings in; default in memory.

    Raises:
        DataError: no such folder.
        ModelError: no such model.
        SetupError: the disk is full, no such device, or torchrun started several processes.
    """
    if ranks.place()[1] > 1:
        raise SetupError("'facekd eval all' runs in one process; under torchrun use 'facekd eval megaface'")
    folder, embedder = Path(sets), load(model)
    found, notes = find_sets(folder)
    found = [_with_features(one, embedder, model, flip) for one in found]
    facts = [embedder.fingerprint, flip, environment()["versions"]]
    keys = [_key(one, facts) for one in found]
    called = Path(os.path.abspath(folder)).name
    before = _before([*([Path(json)] if json else []), Run(Path(model)).results / f"all-{called}.json"])
    rows = [_unmeasured(one, before.get(key, [])) for one, key in zip(found, keys, strict=True)]

    def written() -> Suite:
        suite = Suite(folder, [row for group in rows for row in group], notes)
        keep(model, embedder, "all", called, {**suite.to_dict(), "flip": flip}, json)
        return suite

    suite = written()
    waiting = [place for place, group in enumerate(rows) if group[0].status == "waiting"]
    for number, place in enumerate(waiting, 1):
        one, row = found[place], rows[place][0]
        console.print(f"{one.title} ({number} of {len(waiting)})", markup=False)
        try:
            results = _measure(one, model, flip, device, features)
            rows[place] = [replace(row, set=f"{one.title} {title}".strip(), status="measured", key=keys[place],
                                   note=_joined(_largest(one), _others(one)), result=result)
                           for title, result in results.items()]
        except (DataError, ModelError) as problem:
            rows[place] = [replace(row, status="failed", note=_joined(str(problem), _others(one)))]
        suite = written()
    return suite


def _measure(one: EvaluationSet, model: Path | str, flip: bool, device: str, features: Path | str | None) -> Results:
    inputs: dict[str, Any] = dict(one.inputs)
    if one.protocol == "verify":
        return {"": verify(model, **inputs, flip=flip, device=device, name=one.name).to_dict()}
    if one.protocol == "ijb":
        return {"": ijb(**inputs, model=model, name=one.name).to_dict()}
    sizes = _sizes(one)
    if "lists" in inputs and not sizes:
        raise DataError(f"{inputs['lists']} holds no list of distractors; restore megaface_features_list.json_SIZE_1")
    found = megaface(model, **inputs, sizes=sizes[-1:], features=features, flip=flip, device=device, name=one.name)
    return {title.removeprefix(one.name).strip("-"): result.to_dict() for title, result in found.items()}


def _unmeasured(one: EvaluationSet, before: Sequence[Row]) -> list[Row]:
    """The rows of a set to begin with: as they were measured before, or one that waits or says what is missing."""
    paths = [str(path) for part, path in one.inputs.items() if part != "images"]  # these lie around the pair list
    if before:
        note = _joined("measured before", _largest(one), _others(one))
        return [replace(row, paths=paths, note=note) for row in before]
    status = "missing" if one.missing else "waiting"
    return [Row(one.title, one.name, one.protocol, paths, status, _joined(one.missing, _others(one)))]


def _with_features(one: EvaluationSet, embedder: Embedder, model: Path | str, flip: bool) -> EvaluationSet:
    """An IJB set with the features of its images that were made with this model, if they lie beside its files."""
    if one.protocol != "ijb" or one.missing:
        return one
    for file in sorted(one.inputs["meta"].glob("*.npy")):
        made = origin(file)
        if (made.get("model"), made.get("flip")) == (embedder.fingerprint, flip):
            return replace(one, inputs={**one.inputs, "features": file})
    want = one.inputs["meta"] / f"{embedder.name}.npy"
    option = "" if flip else " --no-flip"
    return replace(one, missing=f"no features of its images by this model; embed the aligned faces with 'facekd embed "
                                f"IMAGES {want} --model {model}{option}' (--list FILE for the order) and call again")


def _key(one: EvaluationSet, facts: Sequence[Any]) -> str:
    """A digest of all that a result depends on; empty where that cannot be said."""
    try:
        whole = [one.name, one.protocol, one.stamp(), *facts]
    except (DataError, OSError):  # what is wrong is said when the set is measured
        return ""
    return hashlib.sha256(json_text.dumps(whole).encode()).hexdigest()


def _before(written: Sequence[Path]) -> dict[str, list[Row]]:
    """Rows that were measured before, by their key; a file that cannot be read has none, the first files win."""
    rows: dict[str, list[Row]] = {}
    for file in written:
        known: dict[str, list[Row]] = {}
        try:
            for content in files.read_json(file)["rows"]:
                row = Row(**{name: value for name, value in content.items() if name != "figure"})
                if row.status == "measured" and row.key:
                    known.setdefault(row.key, []).append(row)
        except (DataError, KeyError, TypeError, AttributeError):  # absent, damaged or another kind of file
            continue
        rows = {**known, **rows}
    return rows


def _sizes(one: EvaluationSet) -> list[int]:
    """The sizes of MegaFace's lists, where they are."""
    return sizes_in(one.inputs["lists"]) if "lists" in one.inputs else []


def _largest(one: EvaluationSet) -> str:
    sizes = _sizes(one)
    return f"the largest of {len(sizes)} sizes, for the others 'facekd eval megaface'" if len(sizes) > 1 else ""


def _others(one: EvaluationSet) -> str:
    return f"also there, not used: {some([str(path) for path in one.others])}" if one.others else ""


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
