"""What commands leave in their output folders for the next call: results of searches, lists of crops, locks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facekd.api.compress.steps import StepLog
from facekd.api.search_result import VERSION as SEARCH_VERSION
from facekd.api.search_result import distill_commands, draw_search
from facekd.data.alignment.align import align_folder
from facekd.data.alignment.detector import Detector
from facekd.io import files
from facekd.io.locks import _describe_holder
from tests.fuzz.parser import Files, Parser, collect
from tests.fuzz.parsers.pictures import picture


def _search_seeds(folder: Path) -> Sequence[Files]:
    plans = {"teacher": "16/16:16,16/32:32,32/64:64,64", "searched": "16/16:8,-/24:32,8/64:64,-",
             "uniform": "8/8:8,8/16:16,16/32:32,32"}
    content = {
        "teacher": {"run": "runs/t", "sha256": "ab" * 32, "name": "resnet14", "size": 32, "outputs": 10, "options": {},
                    "normalization": "unit"},
        "closed_set": True, "cost": "macs", "runtime": None, "budget": 1.5e7, "reached": 1.4e7, "threshold": 0.1,
        "seed": 0, "history": [{"epoch": 1, "sparsity": 0.05, "macs": 2e7}],
        "students": {name: {"plan": plan, "macs": 1e7, "parameters": 2e5} for name, plan in plans.items()},
    }
    files.write_versioned(folder / "search.json", "search", SEARCH_VERSION, content)
    return [collect(folder)]


def _read_search(folder: Path) -> None:
    distill_commands(folder)
    if (folder / "search.json").stat().st_size % 16 == 0:  # a drawing takes 100 times as long as reading
        draw_search(folder)


def _steps_seeds(folder: Path) -> Sequence[Files]:
    steps = StepLog(folder, {"teacher": "ab" * 32, "photos": ["crops"], "budget": {"bytes": 1_000_000}, "epochs": None})
    steps.decide("epochs", lambda: 30.0)
    steps.run("plan", ["facekd", "plan", "r", "p.json"], folder / "p.json", lambda: None)
    return [{"compress.json": (folder / "compress.json").read_bytes()}]


def _read_step_log(folder: Path) -> None:
    steps = StepLog(folder, {"epochs": None})
    steps.run("plan", ["facekd", "plan", "r", "p.json"], folder / "p.json", lambda: None)


def _holder_seeds(folder: Path) -> Sequence[Files]:
    holder = {"host": "gpu1", "process": 4711, "command": "facekd train faces out", "since": "12:34:56"}
    return [{".out.holder": json.dumps(holder).encode()}]


def _read_holder(folder: Path) -> None:
    text = _describe_holder(folder / ".out.holder")  # a part of a message; waiting for a real lock takes too long
    assert len(text) < 400 and text.isprintable()


class _NoFaces(Detector):
    """Finds no face; its crops never change."""

    fingerprint = "ab" * 32

    def detect(self, bgr: Any) -> list[Any]:
        return []


def _align_seeds(folder: Path) -> Sequence[Files]:
    (folder / "photos" / "anna").mkdir(parents=True)
    for name in ("1.png", "2.png"):
        (folder / "photos" / "anna" / name).write_bytes(picture(side=200))
    align_folder(folder / "photos", folder / "out", _NoFaces(), 112)
    entries = json.loads((folder / "out" / "align.json").read_bytes())
    entries["photographs"]["anna/1.png"] = {"faces": 2, "crops": [
        {"crop": "anna/1.png.jpg", "score": 0.9, "landmarks": [[1.5, 2.5]] * 5}]}
    files.write_json(folder / "out" / "align.json", entries)
    return [{**collect(folder), "out/anna/1.png.jpg": b"x"}]


def _read_align(folder: Path) -> None:
    saved = folder / "out" / "align.json"
    content = saved.read_bytes() if saved.exists() else None
    try:
        align_folder(folder / "photos", folder / "out", _NoFaces(), 112).describe()
    finally:
        if content is not None:
            saved.write_bytes(content)


PARSERS = [
    Parser("compress_json", ["api/compress/steps.py"], _steps_seeds, _read_step_log, {"compress.json": "json"}),
    Parser("search_json", ["api/search_result.py"], _search_seeds, _read_search, {"search.json": "json"},
           scratch=["search.svg"]),
    Parser("align_json", ["data/alignment/align_list.py"], _align_seeds, _read_align, {"out/align.json": "json"}),
    Parser("lock_holder", ["io/locks.py"], _holder_seeds, _read_holder, {".out.holder": "json"}),
]
