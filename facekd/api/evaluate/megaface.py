"""``facekd eval megaface``: identification among distractors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from facekd.api.evaluate.options import check_megaface_options
from facekd.api.evaluate.results import result_name, result_output, save_result
from facekd.data.megaface.noise_lists import read_noise_lists
from facekd.distributed import init_distributed, is_main_process, local_device
from facekd.errors import DataError
from facekd.evaluation.embedding.plausibility import check_faces
from facekd.evaluation.identification.identify import identify
from facekd.evaluation.identification.per_identity import write_identity_counts
from facekd.evaluation.identification.result import IdentificationResult
from facekd.evaluation.megaface.protocol import MegaFaceInputs, MegaFaceTest, megaface_tests
from facekd.evaluation.megaface.result_files import algorithm_name, result_path, write_cmc, write_matches
from facekd.io.locks import lock_output
from facekd.models.embedder import Embedder
from facekd.models.input_format import MODEL_LOADED, NO_MODEL, InputOptions, refuse_options
from facekd.models.loading import load
from facekd.run import Run
from facekd.utils.device import resolve_device


def megaface(model: Path | str | None = None, probes: Path | str | None = None, distractors: Path | str | None = None,
             *, template_lists: Path | str | None = None, suffix: str | None = None, sizes: Sequence[int] = (),
             set_index: int | None = None, noise_lists: Path | str | None = None, noise_mode: str | None = None,
             int8: bool = False,
             features: Path | str | None = None, out: Path | str | None = None, json: Path | str | None = None,
             across: bool = False, flip: bool = True, device: str = "auto", name: str | None = None,
             embedder: Embedder | None = None, **options: Unpack[InputOptions]) -> dict[str, IdentificationResult]:
    """Evaluate identification among distractors, from images or from features.

    Several processes of torchrun share the distractors. The first process returns and writes the results.

    Args:
        model: path of the model, see `facekd.models.loading.load`; without one, probes and distractors are features.
        probes: a face set; with ``template_lists`` the root folder of its paths; without a model features, see
            `facekd.data.features.opening.open_features`.
        distractors: a face set, a root folder or features, as for ``probes``.
        template_lists: the MegaFace kit's ``templatelists``: the probes with their identities, and the distractors.
        suffix: suffix of the feature files in the kit's trees.
        sizes: numbers of distractors, by the template lists; by default all for which there is a list.
        set_index: number of the kit's set of distractors, by default 1.
        noise_lists: folder with InsightFace's noise lists.
        noise_mode: with noise lists a `facekd.evaluation.megaface.noise_handling.NOISE_MODES`; by default ``all``.
        int8: whether to also evaluate int8 probes among float and among int8 distractors.
        features: folder for the embeddings; a second call continues or reuses them. By default they are in memory.
        out: folder for the kit's ``cmc_*.json`` and ``matches_*.json``.
        json: a result file to write, ``NAME-TITLE.json`` if there are several. The counts per identity, for
            ``compare_models``, are written next to it as ``.npz``. A run folder gets both in ``results/`` in any case.
        across: whether the features are meant to be of different models, for example probes of a student among
            distractors of its teacher; without it that is refused.
        flip: whether to add the embedding of the mirrored image.
        device: device of the models and of the scores.
        name: name of the result, by default ``megaface``.
        embedder: the model of the path, if it is loaded already.
        options: how an ``.onnx`` file is fed, see `facekd.models.input_format.InputOptions`.

    Returns:
        the results by title: the name, with size, noise mode and precision if there are several. Empty in all processes
        of torchrun but the first.

    Raises:
        DataError: the inputs cannot be used, are features of different models, or are one and the same set; an argument
            has no effect; or the name is no plain file name.
        ModelError: the model cannot be loaded.
        SetupError: the result cannot be written, another process writes it, or the device does not exist.
    """
    init_distributed()
    if embedder or not model:
        refuse_options(options, MODEL_LOADED if embedder else NO_MODEL)
    if probes is None or distractors is None:
        raise DataError("give probes and distractors: face sets with a model, or features without one")
    check_megaface_options(
        probes, distractors, has_model=model is not None, template_lists=template_lists, suffix=suffix, sizes=sizes,
        set_index=set_index, noise_lists=noise_lists, noise_mode=noise_mode, features=features, out=out, json=json,
        across=across, flip=flip)
    name = result_name(name, "megaface")
    set_index = 1 if set_index is None else set_index
    with lock_output(features), lock_output(out), result_output(
            "megaface", name, model=model, json=json, inputs=(probes, distractors),
            features=() if model else (probes, distractors)):
        torch_device = local_device(resolve_device(device))
        if embedder is None and model:
            embedder = load(model, device, **options)
        inputs = MegaFaceInputs(
            Path(probes), Path(distractors), embedder, flip, Path(features) / name if features else None,
            Path(template_lists) if template_lists else None, suffix, sizes, set_index, across,
        )
        plausibility = _check_plausibility(inputs)
        noise = read_noise_lists(Path(noise_lists)) if noise_lists else None
        results = {}
        for test in megaface_tests(inputs, noise, noise_mode or "all", int8):
            title = f"{name}-{test.title}" if test.title else name
            result_file = _result_file(json, test.title)
            checkpoint = _checkpoint_file(model, result_file, title)
            result = identify(test.probes, test.distractors, device=torch_device, checkpoint=checkpoint)
            if result is None:  # not the first process
                continue
            noise_notes = test.filtered.notes if noise else ()
            result = replace(result, notes=(*test.model_notes, *noise_notes, *result.notes))
            content = {**result.to_dict(), "noise_mode": test.filtered.mode, "features": test.precision,
                       "across": across, "models": test.models, "plausibility": plausibility}
            _save(title, content, result, model=model, embedder=embedder, result_file=result_file)
            if out and test.precision == "float":
                _write_kit_files(Path(out), algorithm_name(suffix) if suffix else name, set_index, test, result)
            results[title] = result
    return results


def _check_plausibility(inputs: MegaFaceInputs) -> dict[str, Any] | None:
    """Return the plausibility of the model on some probes; None for features and in all processes but the first."""
    if inputs.embedder is None or not is_main_process():
        return None
    result = check_faces(inputs.embedder, inputs.probe_images())
    return result.to_dict() if result else None


def _result_file(json: Path | str | None, title: str) -> Path | None:
    """Return the result file of one test."""
    path = Path(json) if json else None
    return path.with_name(f"{path.stem}-{title}{path.suffix}") if path and title else path


def _checkpoint_file(model: Path | str | None, result_file: Path | None, title: str) -> Path | None:
    """Return the file for the counts of an interrupted test, in the folder of its result; None if there is none."""
    if result_file:
        return result_file.with_name(f".{result_file.name}.partial")
    if model is None or not os.path.isfile(Path(model) / "run.json"):
        return None
    return Run(Path(model)).results / f".megaface-{title}.partial"


def _save(title: str, content: dict[str, Any], result: IdentificationResult, *, model: Path | str | None,
          embedder: Embedder | None, result_file: Path | None) -> None:
    """Write a result and its counts per identity to the result file and to the run."""
    folder = save_result("megaface", title, content, model=model, embedder=embedder, json=result_file)
    for file in filter(None, (result_file, folder and folder / f"megaface-{title}.json")):
        write_identity_counts(file.with_suffix(".npz"), result.identity_counts)


def _write_kit_files(folder: Path, algorithm: str, set_index: int, test: MegaFaceTest,
                     result: IdentificationResult) -> None:
    """Write the result files of the MegaFace kit; the noise mode becomes a part of the algorithm's name."""
    mode = test.filtered.mode
    algorithm = algorithm if mode == "raw" else f"{algorithm}-{mode}"
    cmc_file, matches_file = (result_path(folder, kind, algorithm, test.listed_distractors, set_index)
                              for kind in ("cmc", "matches"))
    write_cmc(cmc_file, result.distractors_ahead, result.distractors, result.roc_far, result.roc_tar,
              result.probes * result.distractors)
    rows = test.filtered.probe_rows
    mates = result.mates
    write_matches(matches_file, test.listed_probes, rows[mates.probe], rows[mates.mate], result.distractors_ahead)
