"""``facekd bench``: latency and size of a package's files, relative to a reference, and timings from phones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from facekd.deploy.benchmark.memory import peak_memory
from facekd.deploy.benchmark.phone_logs import parse_phone_log
from facekd.deploy.benchmark.rounds import Candidate, benchmark_rounds, onnx_candidate, package_candidates
from facekd.deploy.package import Package, read_package
from facekd.deploy.targets import get_target
from facekd.errors import ExportError, FacekdError
from facekd.io import files
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.models.input_format import InputOptions, refuse_options
from facekd.text import path_text
from facekd.utils.environment import environment, hardware
from facekd.utils.progress import progress_bar

MIN_ROUNDS = 10
"""The minimum number of rounds: with fewer, a 95th percentile and an interval are meaningless."""


def bench(package: Path | str, against: Path | str | None = None, *, threads: Sequence[int] = (), repeats: int = 100,
          warmup: int = 10, phone_logs: Sequence[Path | str] = (), json: Path | str | None = None,
          **options: Unpack[InputOptions]) -> dict[str, Any]:
    """Measure latency, size and memory of every file of a package that runs on this machine, in interleaved rounds.

    Args:
        package: a folder that export wrote.
        against: the reference of the ratios: any ONNX file, or another package. By default the package's own float32
            ONNX file, or its first that runs.
        threads: numbers of threads; by default 1 and the number of cores.
        repeats: timed rounds.
        warmup: untimed rounds before them.
        phone_logs: files with the output of benchncnn or benchmark_model on phones.
        json: a file to write.
        options: how the ONNX file ``against`` is fed, see `facekd.models.input_format.InputOptions`.

    Returns:
        the content of ``json``: one row per file in ``rows``, files that do not run with the reason in ``not_run``,
        timings of phones in ``devices``, and the conditions of the measurement. Times are in milliseconds, sizes in
        bytes.

    Raises:
        ExportError: the package is damaged or was changed, none of its files runs here, or an argument is not valid.
        ModelError: ``against`` is no face model.
    """
    cores = hardware()["cores"]
    thread_counts = sorted(set(threads)) if threads else sorted({1, cores})
    if thread_counts[0] < 1 or repeats < MIN_ROUNDS or warmup < 0:
        raise ExportError(f"threads {thread_counts}, repeats {repeats} and warmup {warmup} are not valid: give 1 "
                          f"thread or more, {MIN_ROUNDS} rounds or more, and a warm-up of 0 or more")
    if json:
        check_writable(json)
    with lock_output(json):
        load = os.getloadavg()[0]
        opened_package = read_package(Path(package))
        devices = [row for log in phone_logs for row in _parse_log(opened_package, Path(log))]
        candidates, not_run = _split_runnable(package_candidates(opened_package))
        if not candidates:
            reasons = "; ".join(f"{title}: {reason}" for title, reason in not_run.items())
            raise ExportError(f"no file of {package} runs here: {reasons}")
        reference_candidates, reference_not_run = _open_reference(against, options)
        reference = _choose_reference(reference_candidates or candidates)
        candidates = [*reference_candidates, *candidates]
        latencies = benchmark_rounds(candidates, reference, thread_counts, repeats, warmup)
        peak_bytes = _measure_memory(candidates)
        rows = [
            {"title": candidate.title, "model": candidate.model, "bytes": candidate.bytes,
             "parameters": candidate.parameters, "macs": candidate.macs, "peak_bytes": peak_bytes[candidate.title],
             "versions": candidate.versions(), "timed": [latency.to_dict() for latency in latencies[candidate.title]]}
            for candidate in candidates
        ]
        result = {"kind": "bench", "package": str(package), "reference": reference, "batch": 1, "repeats": repeats,
                  "warmup": warmup, "load": {"average": load, "cores": cores, "busy": load > cores}, "rows": rows,
                  "not_run": {**reference_not_run, **not_run}, "devices": devices, **environment()}
        if json:
            files.write_json(Path(json), result)
    return result


def _open_reference(against: Path | str | None, options: InputOptions) -> tuple[list[Candidate], dict[str, str]]:
    """Return the candidates of the reference, and its files that do not run with the reason."""
    if against is None:
        refuse_options(options, "a package knows how it is fed; give --against FILE.onnx, or leave it out")
        return [], {}
    if not Path(against).is_dir():
        return [onnx_candidate(Path(against), options)], {}
    refuse_options(options, f"{path_text(against)} is a package, which knows how it is fed; leave it out")
    candidates, not_run = _split_runnable(package_candidates(read_package(Path(against)), f"{Path(against).name}: "))
    if not candidates:
        raise ExportError(f"no file of {against} runs here; compare with an ONNX file")
    return candidates, not_run


def _split_runnable(candidates: Sequence[Candidate]) -> tuple[list[Candidate], dict[str, str]]:
    """Return the candidates that run on this machine, and the titles of the others with the reason."""
    runnable, not_run = [], {}
    for candidate in candidates:
        try:
            candidate.open(1)
            runnable.append(candidate)
        except FacekdError as reason:
            not_run[candidate.title] = str(reason)
    return runnable, not_run


def _choose_reference(candidates: Sequence[Candidate]) -> str:
    float_onnx = (candidate.title for candidate in candidates if candidate.title.endswith("onnx fp32"))
    return next(float_onnx, candidates[0].title)


def _measure_memory(candidates: Sequence[Candidate]) -> dict[str, int | None]:
    peak_bytes = {}
    with progress_bar("memory", len(candidates), "files") as advance:
        for candidate in candidates:
            peak_bytes[candidate.title] = peak_memory(candidate.open, candidate.runtime)
            advance(1, candidate.title)
    return peak_bytes


def _parse_log(package: Package, path: Path) -> list[dict[str, Any]]:
    """Return the timings of one phone, each with the titles of the package's files that it applies to."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ExportError(f"{path} cannot be read ({error.strerror}); give the output of the phone's tool") from error
    return [{"device": path.stem, "titles": _matching_titles(package, latency.file), **asdict(latency)}
            for latency in parse_phone_log(text, str(path))]


def _matching_titles(package: Package, file: str) -> list[str]:
    """Return the titles of the package's files whose latency the timing of ``file`` gives."""
    entries = package.metadata["files"]
    title = next((title for title, entry in entries.items() if file in entry["files"]), None)
    if title is None:
        return []
    target = entries[title]["target"]
    if not get_target(target).times_graph_only:
        return [title]
    # benchncnn times a graph without its weights, so the timing of one file applies to all files of the target.
    return [title for title, entry in entries.items() if entry["target"] == target]
