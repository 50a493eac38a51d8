"""``facekd eval verify`` and ``facekd eval megaface``: how good is a model, and how sure is that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facekd import files
from facekd.data.faceset import open_faces
from facekd.data.pairs import PairSet, open_pairs
from facekd.data.views import crop_of
from facekd.errors import DataError
from facekd.evaluation.features import read_features
from facekd.evaluation.identification import IdentificationResult, identify
from facekd.evaluation.protocols import evaluate_megaface, evaluate_verification
from facekd.evaluation.verification import VerificationResult, most_wrong
from facekd.models.embedder import Embedder
from facekd.models.loading import load
from facekd.reporting.sheet import pair_sheet
from facekd.training.machine import find_device
from facekd.verbs.results import keep

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


def megaface(model: Path | str | None = None, probes: Path | str | None = None, distractors: Path | str | None = None,
             probe_features: Path | str | None = None, distractor_features: Path | str | None = None,
             json: Path | str | None = None, flip: bool = True, device: str = "auto",
             name: str | None = None) -> IdentificationResult:
    """Measure identification among distractors, from face sets or from features.

    Args:
        model: see `facekd.models.loading.load`; for face sets.
        probes: face set of the people to be found.
        distractors: face set of other people.
        probe_features: ``.npy`` [probes, dimension] with ``.labels.npy`` beside it, instead of a face set.
        distractor_features: ``.npy`` [distractors, dimension], instead of a face set.
        json: a result file to write; a run folder gets one in ``results/`` in any case.
        flip: sum image and mirror.
        device: for torch models.
        name: what the result is called.

    Raises:
        DataError: neither or both kinds of input are given, or they cannot be used.
        ModelError: no such model.
    """
    from_sets, from_features = (model, probes, distractors), (probe_features, distractor_features)
    if all(from_features) and not any(from_sets):
        ours, labels = read_features(Path(str(probe_features)))
        others, _ = read_features(Path(str(distractor_features)))
        if labels is None:
            raise DataError(
                f"{probe_features} has no labels beside it; "
                f"write them as int64 to {Path(str(probe_features)).with_suffix('.labels.npy')}"
            )
        result, embedder = identify(ours, labels, others), None
    elif all(from_sets) and not any(from_features):
        embedder = load(str(model), find_device(device))
        result = evaluate_megaface(embedder, open_faces(str(probes)), open_faces(str(distractors)), flip)
    else:
        raise DataError("give a model, probes and distractors, or probe features and distractor features")
    keep(model, embedder, "megaface", name or "megaface", result.to_dict(), json)
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
