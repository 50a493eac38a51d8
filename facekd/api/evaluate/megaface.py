"""``facekd eval megaface``: identification among distractors, and whether two models differ in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from facekd import distributed as ranks
from facekd.api.evaluate.results import keep
from facekd.data.megaface.noise_lists import read_noise
from facekd.errors import DataError
from facekd.evaluation.identification.comparison import Difference, differences
from facekd.evaluation.identification.identify import identify
from facekd.evaluation.identification.per_identity import read_people, write_people
from facekd.evaluation.identification.result import IdentificationResult
from facekd.evaluation.megaface.protocol import Source, Test, tests
from facekd.evaluation.megaface.result_files import algorithm_of, result_path, write_cmc, write_matches
from facekd.models.embedder import Embedder
from facekd.models.loading import load
from facekd.run import Run
from facekd.training.machine import find_device
from facekd.utils import files


def megaface(model: Path | str | None = None, probes: Path | str | None = None, distractors: Path | str | None = None,
             *, lists: Path | str | None = None, ending: str | None = None, sizes: Sequence[int] = (),
             set_index: int = 1, noise: Path | str | None = None, cleaning: str = "all", int8: bool = False,
             features: Path | str | None = None, out: Path | str | None = None, json: Path | str | None = None,
             flip: bool = True, device: str = "auto", name: str = "megaface") -> dict[str, IdentificationResult]:
    """Measure identification among distractors, from images or from features.

    Args:
        model: see `facekd.models.loading.load`; without one, probes and distractors are features.
        probes: a face set; with ``lists`` the folder its paths start from; without a model features, see
            `facekd.data.features.opening.open_features`.
        distractors: likewise.
        lists: the MegaFace kit's ``templatelists``: which probes and distractors are used, and who the probes are.
        ending: of the feature files in the kit's trees.
        sizes: numbers of distractors, by the lists; default all for which there is a list.
        set_index: which of the kit's sets of distractors.
        noise: folder with InsightFace's noise lists.
        cleaning: one of `noise_handling.WAYS`, or all of them; only ``raw`` needs no noise lists.
        int8: also measure int8 probes among float and among int8 distractors.
        features: folder to keep embeddings in; a second call continues or uses them again. Default: in memory.
        out: folder for the kit's ``cmc_*.json`` and ``matches_*.json``.
        json: a result file to write, ``NAME-TITLE.json`` where there are several; the counts of every person go
            beside it as ``.npz``, for ``compare_models``. A run folder gets both in ``results/`` in any case.
        flip: sum image and mirror.
        device: where torch models and scores are computed.
        name: what the result is called.

    Returns:
        The results by title: the name, and behind it size, cleaning and int8 where there are several. Under torchrun
        the first process has them all, the others none.

    Raises:
        DataError: inputs cannot be used.
        ModelError: no such model.
        SetupError: the disk is full, or no such device.
    """
    if probes is None or distractors is None:
        raise DataError("give probes and distractors: face sets with a model, or features without one")
    where = ranks.own_device(find_device(device))
    embedder = load(model, where) if model else None
    source = Source(Path(probes), Path(distractors), embedder, flip, Path(features) / name if features else None,
                    Path(lists) if lists else None, ending, sizes, set_index)
    found = {}
    for test in tests(source, read_noise(Path(noise)) if noise else None, cleaning, int8):
        title = f"{name}-{test.title}" if test.title else name
        target = _target(json, test.title)
        result = identify(test.probes, test.distractors, device=where, state=_state(model, target, title))
        if result is None:
            continue
        result = replace(result, notes=((*test.cleaned.notes, *result.notes) if noise else result.notes))
        _keep(model, embedder, title, test, result, target)
        if out and test.kind == "float":
            _write_kit(Path(out), algorithm_of(ending) if ending else name, set_index, test, result)
        found[title] = result
    return found


def compare_models(first: Path | str, second: Path | str) -> list[Difference]:
    """How two models differ in identification on the same people.

    Args:
        first: a result file of ``megaface``, with its ``.npz`` beside it.
        second: another.

    Raises:
        DataError: they cannot be read, or are of different tests.
    """
    one, other = (files.read_json(Path(file)) for file in (first, second))
    for file, content in ((first, one), (second, other)):
        if content.get("kind") != "megaface":
            raise DataError(f"{file} is no result of 'facekd eval megaface'; give two of these")
    fars = [far for far in one["tar"] if one["tar"][far] is not None and other["tar"].get(far) is not None]
    figures = [("rank-1", one["rank1"], other["rank1"]),
               *((f"TAR at FAR {far}", one["tar"][far], other["tar"][far]) for far in fars)]
    counts = [read_people(Path(file).with_suffix(".npz")) for file in (first, second)]
    return differences(counts[0], counts[1], figures, fars)


def _target(json: Path | str | None, title: str) -> Path | None:
    """The result file of a test."""
    path = Path(json) if json else None
    return path.with_name(f"{path.stem}-{title}{path.suffix}") if path and title else path


def _state(model: Path | str | None, target: Path | None, title: str) -> Path | None:
    """Where an interrupted test leaves its counts: beside its result."""
    if target:
        return target.with_name(f".{target.name}.partial")
    in_run = model is not None and (Path(model) / "run.json").is_file()
    return Run(Path(str(model))).results / f".megaface-{title}.partial" if in_run else None


def _keep(model: Path | str | None, embedder: Embedder | None, title: str, test: Test, result: IdentificationResult,
          target: Path | None) -> None:
    content = {**result.to_dict(), "cleaning": test.cleaned.way, "features": test.kind}
    folder = keep(model, embedder, "megaface", title, content, target)
    for file in filter(None, (target, folder and folder / f"megaface-{title}.json")):
        write_people(file.with_suffix(".npz"), result.people)


def _write_kit(folder: Path, algorithm: str, set_index: int, test: Test, result: IdentificationResult) -> None:
    """The kit's files; a cleaned test is another algorithm to it."""
    called = algorithm if test.cleaned.way == "raw" else f"{algorithm}-{test.cleaned.way}"
    write_cmc(result_path(folder, "cmc", called, test.size, set_index), result.ahead, result.distractors,
              result.far, result.roc, result.probes * result.distractors)
    rows, mates = test.cleaned.probe_rows, result.mates
    write_matches(result_path(folder, "matches", called, test.size, set_index), test.listed,
                  rows[mates.probe], rows[mates.mate], result.ahead)
