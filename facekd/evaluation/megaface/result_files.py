"""The MegaFace kit's result files, ``cmc_*.json`` and ``matches_*.json``, for the scripts that plot and compare them.

The formats were derived from files of the kit (the buffalo_l results, sizes 100,000 and 1,000,000, in
Kitty123567890/face_detection_model; excerpts in deepinsight/insightface issues 219 and 372) and from programs that read
them (walkoncross/megaface-eval-zyf, happynear/FaceVerification, foamliu/InsightFace-v2). The program of the kit itself
is closed source.

``cmc``: ``{"cmc": [ranks, recall], "roc": [FAR, TAR]}``. Ranks count from 0, so rank-1 is ``cmc[1][0]``; the last one
is the number of distractors, where recall is 1. FARs rise strictly from 0 to 1. The kit writes a point only where the
recall, or the TAR, has grown by 0.01 since the last point, which leaves TAR at 1e-6 to chance: readers take the nearest
FAR, the first one above, or interpolate. Here every rank up to 100 is a point, and so is every decade of FAR that can
be measured, with the first FAR above it; the others are geometrically spaced. The third entry of the kit,
``traditional_cmc``, is not written, and the readers do not need it. (Its last rank is 79, so its gallery seems to hold
an image of each of the other people too.) The FARs of the kit are multiples of 1e-8 at both sizes, so it seems to
measure them on 1e8 impostor pairs; here all pairs count.

``matches``: a list with one object per image of the probe list, in its order, where the image is the mate:
``{"probes": {"idx": [...], "rank": [...]}}`` holds the positions of that person's other images in the probe list,
rising, and the rank, from 0, at which each of them finds the mate. (That the object is the mate and ``idx`` are the
probes follows from the two files: of two images of a person of which only one finds the other, it is always the one
whose best distractor scores lower.) The kit adds the five best distractors of the image, ``"distractors": {"idx",
"score"}``; no known program reads them, and they are not written.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from facekd.errors import DataError
from facekd.evaluation.statistics.far import allowed_false_accepts
from facekd.evaluation.types import FloatArray, IntArray
from facekd.io.files import write_text

DENSE_RANKS = 100
"""Every rank up to this one is a point of the CMC."""
POINTS_PER_DECADE = 20
"""Points per decade where points are geometrically spaced."""


def algorithm_name(suffix: str) -> str:
    """Return the kit's name of the algorithm whose feature files have this suffix: ``_m.bin`` is ``m``."""
    return suffix.split(".")[0].strip("_")


def result_path(folder: Path, kind: str, algorithm: str, size: int, set_index: int = 1,
                probes: str = "facescrub", distractors: str = "megaface") -> Path:
    """Return the path of a result in the kit, e.g. ``cmc_facescrub_megaface_m_1000000_1.json``.

    Args:
        folder: folder of the results.
        kind: ``"cmc"`` or ``"matches"``.
        algorithm: name of the model.
        size: number of distractors in the template list, before any filtering.
        set_index: number of the kit's set of distractors.
        probes: prefix of the name of the probe list.
        distractors: prefix of the name of the distractor list.

    Raises:
        DataError: the name of the algorithm has a slash in it.
    """
    if "/" in algorithm or "\\" in algorithm:
        raise DataError(f"'{algorithm}' cannot be in the name of a file; name the algorithm without a slash")
    return folder / f"{kind}_{probes}_{distractors}_{algorithm}_{size}_{set_index}.json"


def write_cmc(path: Path, ranks: IntArray, distractors: int, far: FloatArray, tar: FloatArray, impostors: int) -> None:
    """Write a ``cmc_*.json``.

    Args:
        path: the file.
        ranks: int64 [pairs], number of distractors ahead of the mate.
        distractors: number of distractors.
        far: float64 [points], rising false accept rates that thresholds reach.
        tar: float64 [points], the true accept rate at each FAR; between two points the TAR of the lower FAR holds. A
            curve that ends before TAR 1 is unknown beyond its last FAR: end it at the last FAR that was measured, a
            decade for example.
        impostors: number of impostor pairs; a decade that allows less than one false accept is not written.

    Raises:
        DataError: there is no pair, or a rank, FAR or TAR is out of range or not in order.
    """
    if not len(ranks) or ranks.min() < 0 or ranks.max() > distractors:
        raise DataError(f"{path} is not written: it needs ranks from 0 to {distractors}, one a pair of probes")
    if not len(far) == len(tar) > 0 or not all(_are_rising_rates(rates) for rates in (far, tar)):
        raise DataError(f"{path} is not written: it needs FAR and TAR of one length, rising and between 0 and 1")
    points = sparse_ranks(distractors)
    recall = np.searchsorted(np.sort(ranks), points, side="right") / len(ranks)
    roc = sparse_roc(far, tar, impostors)
    _write(path, {"cmc": [points.tolist(), recall.tolist()], "roc": [rates.tolist() for rates in roc]})


def write_matches(path: Path, probes: int, probe: IntArray, mate: IntArray, ranks: IntArray) -> None:
    """Write a ``matches_*.json``.

    Args:
        path: the file.
        probes: number of images in the probe list; an image that the noise list removed is in no pair.
        probe: int64 [pairs], position of the probe in that list.
        mate: int64 [pairs], position of its mate in that list.
        ranks: int64 [pairs], number of distractors ahead of the mate.
    """
    order = np.lexsort((probe, mate))
    ends = np.searchsorted(mate[order], np.arange(1, probes))
    probes_by_mate = np.split(probe[order], ends)
    ranks_by_mate = np.split(ranks[order], ends)
    _write(path, [{"probes": {"idx": idx.tolist(), "rank": rank.tolist()}}
                  for idx, rank in zip(probes_by_mate, ranks_by_mate, strict=True)])


def sparse_ranks(last: int) -> IntArray:
    """Return the ranks of a CMC, int64, rising: 0 to `DENSE_RANKS`, then geometrically spaced ones, and ``last``."""
    spaced = _geometric_points(DENSE_RANKS, last).round() if last > DENSE_RANKS else np.empty(0)
    return np.unique(np.concatenate([np.arange(min(DENSE_RANKS, last) + 1), spaced])).astype(np.int64)


def sparse_roc(far: FloatArray, tar: FloatArray, impostors: int) -> tuple[FloatArray, FloatArray]:
    """Choose points of a ROC curve that readers can interpolate.

    Args:
        far: float64 [points], as in `write_cmc`.
        tar: float64 [points], as in `write_cmc`.
        impostors: number of impostor pairs.

    Returns:
        FAR float64, strictly rising from 0 to 1 and including every decade that ``impostors`` pairs can measure and
        the curve covers; and the largest TAR of any threshold with at most this FAR.
    """
    rates = [f"1e-{digits}" for digits in range(1, 20)]
    measurable = [float(rate) for rate in rates if allowed_false_accepts(rate, impostors) >= 1]
    decades = [decade for decade in measurable if decade <= far[-1] or tar[-1] == 1]
    above = np.searchsorted(far, decades, side="right")
    below = np.searchsorted(far, _geometric_points(1 / impostors, 1), side="right") - 1
    points = np.unique(np.concatenate([[0.0, 1.0], decades, far[above[above < len(far)]], far[below[below >= 0]]]))
    steps = np.concatenate([[0.0], tar])[np.searchsorted(far, points, side="right")]
    steps[-1] = 1.0  # the threshold below every score
    return points, steps


def _geometric_points(first: float, last: float) -> FloatArray:
    """Return geometrically spaced points from ``first`` to ``last``, both included."""
    count = int(np.ceil(np.log10(last / first) * POINTS_PER_DECADE)) + 1
    points: FloatArray = np.geomspace(first, last, count)
    return points


def _are_rising_rates(rates: FloatArray) -> bool:
    return bool(np.all(np.diff(rates) >= 0) and np.all((rates >= 0) & (rates <= 1)))


def _write(path: Path, content: object) -> None:
    write_text(path, json.dumps(content, allow_nan=False) + "\n")
