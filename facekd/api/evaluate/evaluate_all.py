"""``facekd eval all``: one model on every evaluation set of a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from facekd.api.evaluate.ijb import ijb
from facekd.api.evaluate.megaface import megaface
from facekd.api.evaluate.results import result_name, result_output, save_result
from facekd.api.evaluate.stored_rows import cache_key, read_rows
from facekd.api.evaluate.verify import verify
from facekd.data.containers.path_list import MAX_NAMED
from facekd.data.discovery import find_evaluation_sets
from facekd.data.evaluation_set import EvaluationSet
from facekd.data.features.provenance import read_provenance
from facekd.data.megaface.template_lists import list_distractor_sizes
from facekd.distributed import launched_processes
from facekd.errors import DataError, ModelError, SetupError
from facekd.io.outputs import check_writable
from facekd.models.embedder import Embedder
from facekd.models.input_format import InputOptions
from facekd.models.loading import load
from facekd.reporting.tables.evaluation import Row, Suite
from facekd.run import Run
from facekd.text import path_text
from facekd.utils.console import console
from facekd.utils.environment import environment

Results = Mapping[str, Mapping[str, Any]]
"""The results of one set, each as the fields of its JSON file, by a title that distinguishes them."""


def evaluate_all(model: Path | str, sets: Path | str, *, json: Path | str | None = None, flip: bool = True,
                 device: str = "auto", features: Path | str | None = None, **options: Unpack[InputOptions]) -> Suite:
    """Evaluate a model on every set of a folder; a missing or failing set becomes a row and does not stop the others.

    After every set the table is written to ``json`` and, for a run folder, to ``results/all-FOLDER.json``. A second
    call reuses a result of these files if model, options and versions are unchanged, as well as path, size and
    modification time of every file of the set.

    Args:
        model: path of the model, see `facekd.models.loading.load`.
        sets: the folder, see `facekd.data.discovery.find_evaluation_sets`. IJB needs the features of its images by this
            model in the folder of its protocol files, see `facekd.api.embed.embed`.
        json: a result file to write; a run folder gets every result in ``results/`` in any case.
        flip: whether to add the embedding of the mirrored image.
        device: device of the models.
        features: folder for the embeddings of MegaFace; by default they are in memory.
        options: how an ``.onnx`` file is fed, see `facekd.models.input_format.InputOptions`.

    Raises:
        DataError: the folder does not exist.
        ModelError: the model cannot be loaded.
        SetupError: a result cannot be written, another process writes it, the device does not exist, or the processes
            of torchrun all call this function.
    """
    if launched_processes() > 1:
        raise SetupError("evaluate_all works in one process; 'torchrun -m facekd eval all' runs it on rank 0 while the "
                         "others wait")
    folder = Path(sets)
    name = result_name(None, Path(os.path.abspath(folder)).name)
    if features:
        check_writable(features, folder=True)
    with result_output("all", name, model=model, json=json, inputs=[sets]):
        return _evaluate_sets(model, folder, name, json=json, flip=flip, device=device, features=features, **options)


def _evaluate_sets(model: Path | str, folder: Path, name: str, *, json: Path | str | None, flip: bool, device: str,
                   features: Path | str | None, **options: Unpack[InputOptions]) -> Suite:
    """See `evaluate_all`; the caller holds the locks of the result ``name``."""
    embedder = load(model, device, **options)
    evaluation_sets, notes = find_evaluation_sets(folder)
    evaluation_sets = [_add_features(one_set, embedder, model, flip, options) for one_set in evaluation_sets]
    facts = [embedder.fingerprint, flip, environment()["versions"]]
    keys = [cache_key(one_set, facts) for one_set in evaluation_sets]
    result_files = [Path(json)] if json else []
    earlier_rows = read_rows([*result_files, Run(Path(model)).results / f"all-{name}.json"])
    rows = [_initial_rows(one_set, earlier_rows.get(key, []))
            for one_set, key in zip(evaluation_sets, keys, strict=True)]

    def save_table() -> Suite:
        """Write the rows so far, and return them as a table."""
        table = Suite(folder, [row for set_rows in rows for row in set_rows], notes)
        content = {**table.to_dict(), "flip": flip}
        save_result("all", name, content, model=model, embedder=embedder, json=json)
        return table

    table = save_table()
    waiting = [index for index, set_rows in enumerate(rows) if set_rows[0].status == "waiting"]
    for number, index in enumerate(waiting, 1):
        one_set = evaluation_sets[index]
        row = rows[index][0]
        console(stderr=True).print(f"{one_set.title} ({number} of {len(waiting)})")
        try:
            results = _evaluate(one_set, model, embedder, flip=flip, device=device, features=features)
        except (DataError, ModelError) as problem:
            rows[index] = [replace(row, status="failed", note=_join(str(problem), _alternatives_note(one_set)))]
        else:
            note = _join(_sizes_note(one_set), _alternatives_note(one_set))
            rows[index] = [replace(row, set=f"{one_set.title} {title}".strip(), status="measured", key=keys[index],
                                   note=note, result=result) for title, result in results.items()]
        table = save_table()
    return table


def _evaluate(one_set: EvaluationSet, model: Path | str, embedder: Embedder, *, flip: bool, device: str,
              features: Path | str | None) -> Results:
    """Run the protocol of a set; it also writes its own result file into the run."""
    inputs: dict[str, Any] = dict(one_set.inputs)
    name = result_name(None, one_set.name)
    if one_set.protocol == "verify":
        return {"": verify(model, **inputs, flip=flip, device=device, name=name, embedder=embedder).to_dict()}
    if one_set.protocol == "ijb":
        return {"": ijb(**inputs, model=model, name=name, embedder=embedder).to_dict()}
    sizes = _list_sizes(one_set)
    if "template_lists" in inputs and not sizes:
        raise DataError(f"{path_text(inputs['template_lists'])} holds no list of distractors; restore "
                        "megaface_features_list.json_SIZE_1")
    results = megaface(model, **inputs, sizes=sizes[-1:], features=features, flip=flip, device=device, name=name,
                       embedder=embedder)
    return {title.removeprefix(name).strip("-"): result.to_dict() for title, result in results.items()}


def _initial_rows(one_set: EvaluationSet, earlier_rows: Sequence[Row]) -> list[Row]:
    """Return the earlier rows of a set, or one row with the status ``waiting`` or ``missing``."""
    # The folder of the images is left out: it contains the pair list.
    paths = [str(path) for argument, path in one_set.inputs.items() if argument != "images"]
    if earlier_rows:
        note = _join("measured before", _sizes_note(one_set), _alternatives_note(one_set))
        return [replace(row, paths=paths, note=note) for row in earlier_rows]
    status = "missing" if one_set.missing else "waiting"
    note = _join(one_set.missing, _alternatives_note(one_set))
    return [Row(one_set.title, one_set.name, one_set.protocol, paths, status, note)]


def _add_features(one_set: EvaluationSet, embedder: Embedder, model: Path | str, flip: bool,
                  input_options: Mapping[str, Any]) -> EvaluationSet:
    """Add the features of this model to an IJB set; without such features the set counts as missing."""
    if one_set.protocol != "ijb" or one_set.missing:
        return one_set
    meta = one_set.inputs["meta"]
    for file in sorted(meta.glob("*.npy")):
        made_by = read_provenance(file)
        if made_by and (made_by.model, made_by.flip) == (embedder.fingerprint, flip):
            return replace(one_set, inputs={**one_set.inputs, "features": file})
    option = "" if flip else " --no-flip"
    option += "".join(f" --{name} {value}" for name, value in input_options.items() if value is not None)
    features = path_text(meta / f"{result_name(None, embedder.name)}.npy")
    command = f"facekd embed IMAGES {features} --model {path_text(model)}{option}"
    return replace(one_set, missing="no features of its images by this model; embed the aligned faces with "
                                    f"'{command}' (--list FILE for the order) and call again")


def _list_sizes(one_set: EvaluationSet) -> list[int]:
    """Return the numbers of distractors of MegaFace's template lists; empty for other sets."""
    return list_distractor_sizes(one_set.inputs["template_lists"]) if "template_lists" in one_set.inputs else []


def _sizes_note(one_set: EvaluationSet) -> str:
    sizes = _list_sizes(one_set)
    return f"the largest of {len(sizes)} sizes, for the others 'facekd eval megaface'" if len(sizes) > 1 else ""


def _alternatives_note(one_set: EvaluationSet) -> str:
    paths = [path_text(path) for path in one_set.alternatives[:MAX_NAMED]]
    more = ", ..." if len(one_set.alternatives) > MAX_NAMED else ""
    return f"also there, not used: {', '.join(paths)}{more}" if paths else ""


def _join(*notes: str) -> str:
    return "; ".join(filter(None, notes))
