"""``facekd eval verify``: 1:1 verification on a pair list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from facekd.api.evaluate.results import result_name, result_output, save_result
from facekd.data.opening import open_pairs
from facekd.data.pairs.pair_set import PairSet
from facekd.data.transforms import decode_crop
from facekd.errors import DataError
from facekd.evaluation.embedding.plausibility import check_pairs
from facekd.evaluation.verification.result import VerificationResult
from facekd.evaluation.verification.verify import evaluate_verification, extreme_pairs
from facekd.io import files
from facekd.models.embedder import Embedder
from facekd.models.input_format import MODEL_LOADED, InputOptions, refuse_options
from facekd.models.loading import load
from facekd.reporting.plots.pair_grid import pair_grid
from facekd.text import path_text

PAIRS_SHOWN = 8
"""Number of pairs of each kind in the picture: the most clearly right and the most clearly wrong ones."""
CROP_SIZE = 112
"""Side of the crops in the picture, in pixels."""


def verify(model: Path | str, pairs: Path | str, *, images: Path | str | None = None, json: Path | str | None = None,
           flip: bool = True, device: str = "auto", name: str | None = None,
           embedder: Embedder | None = None, **options: Unpack[InputOptions]) -> VerificationResult:
    """Evaluate verification on a pair list.

    Args:
        model: path of the model, see `facekd.models.loading.load`.
        pairs: CSV ``fold,path1,path2,same``, LFW's pairs.txt, or an InsightFace ``.bin``.
        images: the root folder of the paths in the list (not for ``.bin``).
        json: a result file to write; a run folder gets one in ``results/`` in any case.
        flip: whether to add the embedding of the mirrored image.
        device: device of the models.
        name: name of the result, by default the file name of the pair list.
        embedder: the model of that path, if it is loaded already.
        options: how an ``.onnx`` file is fed, see `facekd.models.input_format.InputOptions`.

    Raises:
        DataError: pairs or images cannot be used, or the name is no plain file name.
        ModelError: the model cannot be loaded.
        SetupError: the result cannot be written, or another process writes it.
    """
    check_images(pairs, images)
    if embedder:
        refuse_options(options, MODEL_LOADED)
    name = result_name(name, Path(pairs).stem)
    with result_output("verify", name, model=model, json=json, inputs=(pairs, images)):
        embedder = embedder or load(model, device, **options)
        pair_set = open_pairs(Path(pairs), Path(images) if images else None)
        plausibility = check_pairs(embedder, pair_set)
        result, scores = evaluate_verification(embedder, pair_set, flip)
        content = {**result.to_dict(), "flip": flip,
                   "plausibility": plausibility.to_dict() if plausibility else None,
                   "roc": {"far": result.fpr.tolist(), "tar": result.tpr.tolist()}}
        folder = save_result("verify", name, content, model=model, embedder=embedder, json=json)
        if folder:
            files.write_bytes(folder / f"verify-{name}.jpg", _draw_pairs(pair_set, scores, result.threshold))
    return result


def check_images(pairs: Path | str, images: Path | str | None) -> None:
    """Refuse a folder of images beside a pair list that holds its images.

    Raises:
        DataError: both are given.
    """
    if images and Path(pairs).suffix.lower() == ".bin":
        raise DataError(f"--images has no effect: {path_text(pairs)} holds its images; leave --images out")


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
