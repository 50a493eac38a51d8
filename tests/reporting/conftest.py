"""Run folders with plausible figures, written without any training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from facekd.route.route import Point, Route

MakeRun = Callable[..., Path]


def _write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def _verify(name: str, accuracy: float) -> dict[str, Any]:
    far = np.linspace(0, 1, 101)
    return {
        "accuracy": accuracy, "accuracy_std": 0.0123, "accuracy_interval": [accuracy - 0.01, accuracy + 0.008],
        "auc": 0.98765, "eer": 0.0456, "threshold": 0.3141, "pairs": 1400,
        "tar": {"1e-2": accuracy - 0.1, "1e-4": None},
        "tar_interval": {"1e-2": [accuracy - 0.13, accuracy - 0.08], "1e-4": None}, "folds": 10,
        "notes": ["TAR at FAR 1e-4 is not given: 700 impostor pairs are too few"], "kind": "verify", "name": name,
        "model": "m", "hardware": "cpu2", "command_line": f"facekd eval verify --name {name}",
        "roc": {"far": far.tolist(), "tar": np.sqrt(far).tolist()},
    }


def _megaface(name: str, rank1: float) -> dict[str, Any]:
    return {
        "rank1": rank1, "rank1_interval": [rank1 - 0.02, rank1 + 0.02], "cmc": np.linspace(rank1, 0.99, 100).tolist(),
        "pairs": 72800, "probes": 5600, "identities": 400, "distractors": 4021, "tar": {"1e-4": 0.71, "1e-6": None},
        "tar_interval": {"1e-4": [0.69, 0.73], "1e-6": None}, "notes": [], "kind": "megaface", "name": name,
        "hardware": "cpu2", "command_line": "facekd eval megaface",
    }


def _classify(name: str, top1: float) -> dict[str, Any]:
    confidences = [None, *np.linspace(0.1, 0.97, 14)]
    return {
        "top1": top1, "top1_interval": [top1 - 0.01, top1 + 0.01], "top5": 0.9531, "top5_interval": [0.95, 0.96],
        "per_class": {f"thing {k}": k / 20 for k in range(20)} | {"absent": None}, "ece": 0.0412,
        "reliability": [{"confidence": c, "accuracy": None if c is None else c * 0.9, "count": 0 if c is None else 70}
                        for c in confidences],
        "nll": 1.23456, "images": 9876, "classes": 21, "agreement": 0.8071, "kl": 0.34567,
        "notes": ["1 of 21 classes have no image"], "kind": "classify", "name": name, "hardware": "cpu2",
        "command_line": f"facekd eval cifar --name {name}",
    }


def _open_set(rank1: float, galleries: int = 1) -> dict[str, Any]:
    return {
        "rank": {"1": rank1, "5": rank1 + 0.02, "10": rank1 + 0.03},
        "rank_interval": {"1": [rank1 - 0.01, rank1 + 0.01], "5": [0.5, 1.0], "10": [0.5, 1.0]},
        "cmc": np.linspace(rank1, 0.99, 100).tolist(), "tpir": {"1e-2": rank1 - 0.2, "1e-1": None},
        "tpir_interval": {"1e-2": [rank1 - 0.25, rank1 - 0.15], "1e-1": None},
        "thresholds": {"1e-2": 0.4, "1e-1": None},
        "mated": 1234 * galleries, "unmated": 5678 * galleries, "identities": 300,
        "gallery_identities": 250 * galleries, "galleries": galleries,
        "notes": ["TPIR at FPIR 1e-1 is not given: too few probes"] if galleries == 1 else [],
    }


def _ijb(rank1: float) -> dict[str, Any]:
    verification = {
        "tar": {"1e-6": None, "1e-4": rank1 + 0.05}, "tar_interval": {"1e-6": None, "1e-4": [rank1, rank1 + 0.1]},
        "thresholds": {"1e-6": None, "1e-4": 0.3}, "genuine": 19557, "impostors": 15_638_932, "templates": 23124,
        "identities": 3531, "notes": ["7 pairs are called genuine with two subjects"],
    }
    return {
        "verification": verification, "images": 469_375, "templates": 23124, "notes": ["no detector scores"],
        "identification": {"G1": _open_set(rank1), "G2": _open_set(rank1 - 0.02), "mean": _open_set(rank1 - 0.01, 2)},
    }


def _log(stages: int, epochs: float) -> str:
    lines = [
        {"step": 10 * (i + 1), "epoch": epochs * (i + 1) / 80, "stage": i * stages // 80,
         "learning_rate": 0.1 * (1 - (i * stages % 80) / 80), "seconds_per_step": 0.5, "loss": 20 / (i + 2) + 0.5,
         "l2": 15 / (i + 2) + 0.4, "labels": 5 / (i + 2) + 0.1}
        for i in range(80)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """``make_run(name, seed=0, command="distill", accuracy=..., rank1=..., top1=None, ...)``: a run folder."""

    def make(name: str, seed: int = 0, command: str = "distill", accuracy: float | None = 0.91,
             rank1: float | None = 0.6, epochs: float = 20, info: dict[str, Any] | None = None,
             top1: float | None = None, identify: float | None = None, ijb: float | None = None) -> Path:
        run = tmp_path / name
        run.mkdir(parents=True)
        recipe = {"dataset": "faces/train", "out": str(run), "training": {"epochs": epochs}, "seed": seed}
        anchor = {"stage_reason": "equal distance", "share": 0.25, "step": 0, "learning_rate": 0.02}
        anchors = [{**anchor, "point": str(p), "epoch": p + 1.0} for p in (4, 9, 14, 19)]
        content: dict[str, Any] = {
            "format": "facekd.run", "version": 2, "command": command, "outcome": "finished",
            "started": "2026-01-02T03:04:05+0000", "finished": "2026-01-02T04:04:05+0000",
            "versions": {"python": "3.11", "torch": "2.13", "onnxruntime": None}, "git": "abc1234",
            "hardware": {"label": "cpu2", "processor": "Some CPU", "cores": 2, "cards": []},
            "command_line": f"facekd {command} out={run}", "parameters": 849_000,
            "dataset": {"content": "f00d" * 16, "classes": 1554, "images": 8395},
            "model": {"name": "mobilenetv2", "size": 64, "outputs": 128, "options": {"width": 0.5}},
        }
        if command == "distill":
            content |= {"losses": "l2 40", "strategy": "equal", "anchors": anchors}
        else:
            content |= {"losses": "labels"}
            points = [Point(4 * e, float(e), 0.1, "epoch", f"{e}.safetensors", "0" * 64) for e in range(2, 21, 2)]
            Route(run / "route", None, points).write()
        _write(run / "run.json", content | (info or {}))
        (run / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
        (run / "log.jsonl").write_text(_log(4 if command == "distill" else 1, epochs), encoding="utf-8")
        if accuracy is not None:
            _write(run / "results" / "verify-cfp-ff.json", _verify("cfp-ff", accuracy))
        if rank1 is not None:
            _write(run / "results" / "megaface-cfp.json", _megaface("cfp", rank1))
        if top1 is not None:
            _write(run / "results" / "classify-things.json", _classify("things", top1))
        if identify is not None:
            source = {"kind": "identify", "name": "staff", "hardware": "cpu2", "command_line": "facekd eval identify"}
            _write(run / "results" / "identify-staff.json", _open_set(identify) | source)
        if ijb is not None:
            source = {"kind": "ijb", "name": "ijbc", "hardware": "cpu2", "command_line": "facekd eval ijb"}
            _write(run / "results" / "ijb-ijbc.json", _ijb(ijb) | source)
        return run

    return make


@pytest.fixture
def crops() -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Twelve crops of blurred noise."""
    random = np.random.default_rng(0)
    noise = [cv2.GaussianBlur(random.integers(0, 256, (64, 64, 3), dtype=np.uint8), (0, 0), 4) for _ in range(12)]
    return [np.asarray(image, np.uint8) for image in noise]
