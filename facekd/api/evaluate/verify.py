"""``facekd eval verify``: does a model tell people apart, and how sure is that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facekd.api.evaluate.results import keep
from facekd.data.opening import open_pairs
from facekd.data.pairs.pair_set import PairSet
from facekd.data.transforms import crop_of
from facekd.evaluation.protocols import evaluate_verification
from facekd.evaluation.verification.verify import VerificationResult, most_wrong
from facekd.models.embedder import Embedder
from facekd.models.loading import load
from facekd.reporting.plots.pair_grid import pair_sheet
from facekd.training.machine import find_device
from facekd.utils import files

SHOWN = 8
"""Pairs on the contact sheet of each kind: most clearly right, most clearly wrong."""


def verify(model: Path | str, pairs: Path | str, images: Path | str | None = None, json: Path | str | None = None,
           flip: bool = True, device: str = "auto", name: str | None = None) -> VerificationResult:
    """Measure verification on a pair list.

    Args:
        model: see `facekd.models.loading.load`.
        pairs: CSV ``fold,path1,path2,same``, LFW's pairs.txt, or an InsightFace ``.bin``.
        images: the folder the paths start from (not for ``.bin``).
        json: a result file to write; a run folder gets one in ``results/`` in any case.
        flip: sum image and mirror.
        device: for torch models.
        name: what the result is called, by default the pair list's file name.

    Raises:
        DataError: pairs or images cannot be used.
        ModelError: no such model.
    """
    embedder = load(model, find_device(device))
    pair_set = open_pairs(Path(pairs), Path(images) if images else None)
    result, scores = evaluate_verification(embedder, pair_set, flip)
    called = name or Path(pairs).stem
    content = {**result.to_dict(), "roc": {"far": result.fpr.tolist(), "tar": result.tpr.tolist()}}
    folder = keep(model, embedder, "verify", called, content, json)
    if folder:
        sheet = _sheet(embedder, pair_set, scores, result.threshold)
        files.write_bytes(folder / f"verify-{called}.jpg", sheet)
    return result


def _sheet(embedder: Embedder, pairs: PairSet, scores: np.ndarray[Any, np.dtype[np.float64]],
           threshold: float) -> bytes:
    """A contact sheet of the pairs most clearly right and most clearly wrong."""
    right, wrong = most_wrong(scores, pairs.same, threshold, SHOWN)

    def crop(index: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        return crop_of(pairs.read(index), 112, pairs.where(index))

    rows = [(crop(int(pairs.first[p])), crop(int(pairs.second[p])), float(scores[p]), bool(pairs.same[p]))
            for p in [*right.tolist(), *wrong.tolist()]]
    return pair_sheet(rows, threshold=threshold)
