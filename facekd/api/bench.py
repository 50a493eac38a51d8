"""``facekd bench``: how fast the files of a package are here, beside a model you know, and on your phone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facekd.deploy.benchmark.memory import peak_memory
from facekd.deploy.benchmark.phone_logs import read_device
from facekd.deploy.benchmark.race import Contender, contenders, foreign, race
from facekd.deploy.package import Package, read_package
from facekd.deploy.targets import target_of
from facekd.deploy.targets.base import NotRunnable
from facekd.errors import ExportError, FacekdError
from facekd.run import environment, hardware
from facekd.utils import files
from facekd.utils.progress import progress

LEAST = 10
"""Rounds below which a 95th percentile and an interval say nothing."""


def bench(package: Path | str, against: Path | str | None = None, threads: Sequence[int] = (), repeats: int = 100,
          warmup: int = 10, devices: Sequence[Path | str] = (), json: Path | str | None = None) -> dict[str, Any]:
    """Time every file of a package that runs on this machine, all in the same rounds, and weigh it.

    Args:
        package: a folder that export wrote.
        against: what ratios are to: an ONNX file of anybody, or another package. By default the package's own float32
            ONNX file, or its first that runs.
        threads: numbers of threads; by default one, and as many as there are cores.
        repeats: timed rounds.
        warmup: untimed rounds before them.
        devices: what benchncnn or benchmark_model printed on phones, each saved in a file.
        json: a file to write.

    Returns:
        What ``json`` receives: a row a file in ``rows``, what was not run and why in ``not_run``, timings of phones in
        ``devices``, and how it was measured. Times in milliseconds, sizes in bytes.

    Raises:
        ExportError: the package cannot be read or was changed, nothing in it runs here, or an argument makes no sense.
        ModelError: ``against`` is no face model.
    """
    cores = hardware()["cores"]
    counts = sorted(set(threads)) if threads else sorted({1, cores})
    if counts[0] < 1 or repeats < LEAST or warmup < 0:
        raise ExportError(f"threads {counts}, repeats {repeats} and warmup {warmup} cannot be: give 1 thread or more, "
                          f"{LEAST} rounds or more, and a warm-up of 0 or more")
    load = os.getloadavg()[0]
    ours = read_package(Path(package))
    told = [row for device in devices for row in _device(ours, Path(device))]
    field, absent = _runnable(contenders(ours))
    if not field:
        raise ExportError(f"no file of {package} runs here: " + "; ".join(f"{t}: {why}" for t, why in absent.items()))
    theirs, missing = _others(against)
    reference = _reference(theirs or field)
    field = [*theirs, *field]
    timed = race(field, reference, counts, repeats, warmup)
    weighed = _weigh(field)
    rows = [{"title": model.title, "model": model.model, "bytes": model.bytes, "parameters": model.parameters,
             "macs": model.macs, "peak_bytes": weighed[model.title], "versions": model.versions(),
             "timed": [found.to_dict() for found in timed[model.title]]} for model in field]
    result = {"kind": "bench", "package": str(package), "reference": reference, "batch": 1, "repeats": repeats,
              "warmup": warmup, "load": {"average": load, "cores": cores, "busy": load > cores}, "rows": rows,
              "not_run": {**missing, **absent}, "devices": told, **environment()}
    if json:
        files.write_json(Path(json), result)
    return result


def _others(against: Path | str | None) -> tuple[list[Contender], dict[str, str]]:
    """The files of what the package is compared with, and which of them do not run."""
    if against is None:
        return [], {}
    if not Path(against).is_dir():
        return [foreign(Path(against))], {}
    field, absent = _runnable(contenders(read_package(Path(against)), f"{Path(against).name}: "))
    if not field:
        raise ExportError(f"no file of {against} runs here; compare with an ONNX file")
    return field, absent


def _runnable(field: Sequence[Contender]) -> tuple[list[Contender], dict[str, str]]:
    """Those that run on this machine, and by title why others do not."""
    good, absent = [], {}
    for model in field:
        try:
            model.open(1)
            good.append(model)
        except (NotRunnable, FacekdError) as reason:
            absent[model.title] = str(reason)
    return good, absent


def _reference(field: Sequence[Contender]) -> str:
    return next((model.title for model in field if model.title.endswith("onnx fp32")), field[0].title)


def _weigh(field: Sequence[Contender]) -> dict[str, int | None]:
    with progress("memory", len(field), "files") as advance:
        weighed = {}
        for model in field:
            weighed[model.title] = peak_memory(model.open, model.runtime)
            advance(1, model.title)
    return weighed


def _device(package: Package, path: Path) -> list[dict[str, Any]]:
    """The timings of one phone, each with the files of the package it is of."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ExportError(f"{path} cannot be read ({error.strerror}); give what the device's tool printed") from error
    entries = package.metadata["files"]
    rows = []
    for timing in read_device(text, str(path)):
        own = next((title for title, entry in entries.items() if timing.file in entry["files"]), None)
        target = entries[own]["target"] if own else ""
        same = [title for title, entry in entries.items() if entry["target"] == target]
        titles = same if own and target_of(target).weightless else [own] if own else []
        rows.append({"device": path.stem, "titles": titles, **asdict(timing)})
    return rows
