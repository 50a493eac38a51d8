"""``facekd eval megaface``: identification among distractors, and the difference of two models in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from facekd.api.evaluate.results import save_result
from facekd.data.megaface.noise_lists import read_noise_lists
from facekd.distributed import init_distributed, local_device
from facekd.errors import DataError
from facekd.evaluation.identification.comparison import compare_identification
from facekd.evaluation.identification.identify import identify
from facekd.evaluation.identification.per_identity import read_identity_counts, write_identity_counts
from facekd.evaluation.identification.result import IdentificationResult
from facekd.evaluation.megaface.protocol import MegaFaceInputs, MegaFaceTest, megaface_tests
from facekd.evaluation.megaface.result_files import algorithm_name, result_path, write_cmc, write_matches
from facekd.evaluation.statistics.difference import Difference
from facekd.models.embedder import Embedder
from facekd.models.loading import load
from facekd.run import Run
from facekd.training.machine import resolve_device
from facekd.utils.documents import read_json


def megaface(model: Path | str | None = None, probes: Path | str | None = None, distractors: Path | str | None = None,
             *, template_lists: Path | str | None = None, suffix: str | None = None, sizes: Sequence[int] = (),
             set_index: int = 1, noise_lists: Path | str | None = None, noise_mode: str = "all", int8: bool = False,
             features: Path | str | None = None, out: Path | str | None = None, json: Path | str | None = None,
             flip: bool = True, device: str = "auto", name: str = "megaface",
             embedder: Embedder | None = None) -> dict[str, IdentificationResult]:
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
        set_index: number of the kit's set of distractors.
        noise_lists: folder with InsightFace's noise lists.
        noise_mode: a `facekd.evaluation.megaface.noise_handling.NOISE_MODES`, or ``all``; modes other than ``raw`` need
            noise lists.
        int8: whether to also evaluate int8 probes among float and among int8 distractors.
        features: folder for the embeddings; a second call continues or reuses them. By default they are in memory.
        out: folder for the kit's ``cmc_*.json`` and ``matches_*.json``.
        json: a result file to write, ``NAME-TITLE.json`` if there are several. The counts per identity, for
            ``compare_models``, are written next to it as ``.npz``. A run folder gets both in ``results/`` in any case.
        flip: whether to add the embedding of the mirrored image.
        device: device of torch models and of the scores.
        name: name of the result.
        embedder: the model of the path, if it is loaded already.

    Returns:
        the results by title: the name, with size, noise mode and precision if there are several. Empty in all processes
        of torchrun but the first.

    Raises:
        DataError: the inputs cannot be used.
        ModelError: the model cannot be loaded.
        SetupError: the disk is full, or the device does not exist.
    """
    init_distributed()
    if probes is None or distractors is None:
        raise DataError("give probes and distractors: face sets with a model, or features without one")
    torch_device = local_device(resolve_device(device))
    if embedder is None and model:
        embedder = load(model, torch_device)
    inputs = MegaFaceInputs(
        Path(probes), Path(distractors), embedder, flip, Path(features) / name if features else None,
        Path(template_lists) if template_lists else None, suffix, sizes, set_index,
    )
    noise = read_noise_lists(Path(noise_lists)) if noise_lists else None
    results = {}
    for test in megaface_tests(inputs, noise, noise_mode, int8):
        title = f"{name}-{test.title}" if test.title else name
        result_file = _result_file(json, test.title)
        checkpoint = _checkpoint_file(model, result_file, title)
        result = identify(test.probes, test.distractors, device=torch_device, checkpoint=checkpoint)
        if result is None:  # not the first process
            continue
        if noise:
            result = replace(result, notes=(*test.filtered.notes, *result.notes))
        content = {**result.to_dict(), "noise_mode": test.filtered.mode, "features": test.precision}
        _save(title, content, result, model=model, embedder=embedder, result_file=result_file)
        if out and test.precision == "float":
            algorithm = algorithm_name(suffix) if suffix else name
            _write_kit_files(Path(out), algorithm, set_index, test, result)
        results[title] = result
    return results


def compare_models(first: Path | str, second: Path | str) -> list[Difference]:
    """Compare two models in identification of the same identities.

    Args:
        first: a result file of ``megaface``, with its ``.npz`` next to it.
        second: another result file.

    Raises:
        DataError: a file cannot be read, or the results are of different tests.
    """
    first_result, second_result = _read_result(first), _read_result(second)
    first_tar, second_tar = first_result["tar"], second_result["tar"]
    fars = [far for far in first_tar if first_tar[far] is not None and second_tar.get(far) is not None]
    figures = [("rank-1", first_result["rank1"], second_result["rank1"]),
               *((f"TAR at FAR {far}", first_tar[far], second_tar[far]) for far in fars)]
    first_counts, second_counts = (read_identity_counts(Path(file).with_suffix(".npz")) for file in (first, second))
    return compare_identification(first_counts, second_counts, figures, fars)


def _read_result(file: Path | str) -> dict[str, Any]:
    content = read_json(Path(file))
    if content.get("kind") != "megaface":
        raise DataError(f"{file} is no result of 'facekd eval megaface'; give two of these")
    return content


def _result_file(json: Path | str | None, title: str) -> Path | None:
    """Return the result file of one test."""
    path = Path(json) if json else None
    return path.with_name(f"{path.stem}-{title}{path.suffix}") if path and title else path


def _checkpoint_file(model: Path | str | None, result_file: Path | None, title: str) -> Path | None:
    """Return the file for the counts of an interrupted test, in the folder of its result; None if there is none."""
    if result_file:
        return result_file.with_name(f".{result_file.name}.partial")
    if model is None or not (Path(model) / "run.json").is_file():
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
