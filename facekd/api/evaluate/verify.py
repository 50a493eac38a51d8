"""``facekd eval verify``: 1:1 verification on a pair list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.api.evaluate.results import save_result
from facekd.data.opening import open_pairs
from facekd.data.pairs.pair_set import PairSet
from facekd.data.transforms import decode_crop
from facekd.evaluation.verification.result import VerificationResult
from facekd.evaluation.verification.verify import evaluate_verification, extreme_pairs
from facekd.models.embedder import Embedder
from facekd.models.loading import load
from facekd.reporting.plots.pair_grid import pair_grid
from facekd.training.machine import resolve_device
from facekd.utils import files

PAIRS_SHOWN = 8
"""Number of pairs of each kind in the picture: the most clearly right and the most clearly wrong ones."""
CROP_SIZE = 112
"""Side of the crops in the picture, in pixels."""


def verify(model: Path | str, pairs: Path | str, *, images: Path | str | None = None, json: Path | str | None = None,
           flip: bool = True, device: str = "auto", name: str | None = None,
           embedder: Embedder | None = None) -> VerificationResult:
    """Evaluate verification on a pair list.

    Args:
        model: path of the model, see `facekd.models.loading.load`.
        pairs: CSV ``fold,path1,path2,same``, LFW's pairs.txt, or an InsightFace ``.bin``.
        images: the root folder of the paths in the list (not for ``.bin``).
        json: a result file to write; a run folder gets one in ``results/`` in any case.
        flip: whether to add the embedding of the mirrored image.
        device: device of torch models.
        name: name of the result, by default the file name of the pair list.
        embedder: the model of that path, if it is loaded already.

    Raises:
        DataError: pairs or images cannot be used.
        ModelError: the model cannot be loaded.
    """
    embedder = embedder or load(model, resolve_device(device))
    pair_set = open_pairs(Path(pairs), Path(images) if images else None)
    result, scores = evaluate_verification(embedder, pair_set, flip)
    result_name = name or Path(pairs).stem
    content = {**result.to_dict(), "roc": {"far": result.fpr.tolist(), "tar": result.tpr.tolist()}}
    folder = save_result("verify", result_name, content, model=model, embedder=embedder, json=json)
    if folder:
        files.write_bytes(folder / f"verify-{result_name}.jpg", _draw_pairs(pair_set, scores, result.threshold))
    return result


def _draw_pairs(pairs: PairSet, scores: NDArray[np.float64], threshold: float) -> bytes:
    """Return a JPEG of the pairs that are most clearly right and most clearly wrong."""
    right, wrong = extreme_pairs(scores, pairs.same, threshold, PAIRS_SHOWN)

    def crop(image: int) -> NDArray[np.uint8]:
        """Return the crop of one image."""
        return decode_crop(pairs.read(image), CROP_SIZE, pairs.location(image))

    rows = []
    for pair in [*right.tolist(), *wrong.tolist()]:
        crops = crop(int(pairs.first[pair])), crop(int(pairs.second[pair]))
        rows.append((*crops, float(scores[pair]), bool(pairs.same[pair])))
    return pair_grid(rows, threshold=threshold)
