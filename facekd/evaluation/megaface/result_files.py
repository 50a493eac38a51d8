"""The MegaFace kit's result files, ``cmc_*.json`` and ``matches_*.json``, for the scripts that plot and compare them.

Their form was read from files the kit wrote (the buffalo_l results, sizes 100,000 and 1,000,000, in
Kitty123567890/face_detection_model; excerpts in deepinsight/insightface issues 219 and 372) and from programs that read
them (walkoncross/megaface-eval-zyf, happynear/FaceVerification, foamliu/InsightFace-v2). The kit's own program is
closed.

``cmc``: ``{"cmc": [ranks, recall], "roc": [FAR, TAR]}``. Ranks count from 0, so rank-1 is ``cmc[1][0]``; the last one
is the number of distractors, where recall is 1. FARs rise strictly from 0 to 1. The kit writes a point only where the
recall, or the TAR, has grown by 0.01 since the last, which leaves TAR at 1e-6 to chance: readers take the nearest FAR,
the first one above, or interpolate. Here every rank up to 100 is a point and so is every decade of FAR that can be
measured, with the first FAR above it; the others are geometrically spaced. The kit's third entry, ``traditional_cmc``
(going by its last rank, 79 above, an image of each of the other people stands in the gallery too), is not written; the
readers do without it. The kit's FARs are multiples of 1e-8 at both sizes, so it seems to measure them on 1e8 impostor
pairs; here all count.

``matches``: a list with one object an image of the probe list, in its order, in the role of the mate:
``{"probes": {"idx": [...], "rank": [...]}}`` holds the positions of that person's other images in the probe list,
rising, and the rank, from 0, at which each of them finds the mate. (That the object is the mate and ``idx`` are the
probes follows from the two files: of two images of a person of which only one finds the other, it is always the one
whose best distractor scores lower.) The kit adds the five best distractors of the image, ``"distractors": {"idx",
"score"}``; no reader of them was found, and they are not written.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError
from facekd.evaluation.statistics.far import allowed
from facekd.utils.files import write_text

DENSE = 100
"""Every rank up to this one is a point of the CMC."""
PER_DECADE = 20
"""Points of a geometrically spaced stretch."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def algorithm_of(ending: str) -> str:
    """What the kit calls the algorithm whose feature files have this ending: ``_m.bin`` is ``m``."""
    return ending.split(".")[0].strip("_")


def result_path(folder: Path, kind: str, algorithm: str, size: int, set_index: int = 1,
                probes: str = "facescrub", distractors: str = "megaface") -> Path:
    """Where the kit writes a result, e.g. ``cmc_facescrub_megaface_m_1000000_1.json``.

    Args:
        folder: the folder of the results.
        kind: ``"cmc"`` or ``"matches"``.
        algorithm: a name for the model.
        size: number of distractors in the template list, before any cleaning.
        set_index: number of the set.
        probes: what the name of the probe list begins with.
        distractors: what the name of the distractor list begins with.

    Raises:
        DataError: the algorithm's name holds a slash.
    """
    if "/" in algorithm or "\\" in algorithm:
        raise DataError(f"'{algorithm}' cannot be a part of a file's name; name the algorithm without a slash")
    return folder / f"{kind}_{probes}_{distractors}_{algorithm}_{size}_{set_index}.json"


def write_cmc(path: Path, ranks: Ints, distractors: int, far: Floats, tar: Floats, impostors: int) -> None:
    """Write a ``cmc_*.json``.

    Args:
        path: the file.
        ranks: int64 [pairs], how many distractors are ahead of the mate.
        distractors: how many there are.
        far: float64 [points], rising false accept rates that thresholds reach.
        tar: float64 [points], the true accept rate at each; between two points the former's holds. A curve that ends
            before TAR 1 says nothing beyond its last FAR: end it at the last one measured, a decade say.
        impostors: number of impostor pairs; a decade that allows less than one false accept is not written.

    Raises:
        DataError: there is no pair, or a rank, FAR or TAR is not what it should be.
    """
    if not len(ranks) or ranks.min() < 0 or ranks.max() > distractors:
        raise DataError(f"{path} is not written: it needs ranks from 0 to {distractors}, one a pair of probes")
    if not len(far) == len(tar) > 0 or not all(_rising_rates(rates) for rates in (far, tar)):
        raise DataError(f"{path} is not written: it needs FAR and TAR of one length, rising and between 0 and 1")
    points = sparse_ranks(distractors)
    recall = np.searchsorted(np.sort(ranks), points, side="right") / len(ranks)
    roc = sparse_roc(far, tar, impostors)
    _write(path, {"cmc": [points.tolist(), recall.tolist()], "roc": [rates.tolist() for rates in roc]})


def write_matches(path: Path, probes: int, probe: Ints, mate: Ints, ranks: Ints) -> None:
    """Write a ``matches_*.json``.

    Args:
        path: the file.
        probes: number of images in the probe list; one that was left out by cleaning is in no pair.
        probe: int64 [pairs], position of the probe in that list.
        mate: int64 [pairs], position of the mate it searches for.
        ranks: int64 [pairs], how many distractors are ahead of the mate.
    """
    order = np.lexsort((probe, mate))
    ends = np.searchsorted(mate[order], np.arange(1, probes))
    parts = (np.split(values[order], ends) for values in (probe, ranks))
    _write(path, [{"probes": {"idx": idx.tolist(), "rank": rank.tolist()}} for idx, rank in zip(*parts, strict=True)])


def sparse_ranks(last: int) -> Ints:
    """The ranks of a CMC: 0 to `DENSE`, then geometrically spaced, and ``last``; int64, rising."""
    spaced = _spaced(DENSE, last).round() if last > DENSE else np.empty(0)
    return np.unique(np.concatenate([np.arange(min(DENSE, last) + 1), spaced])).astype(np.int64)


def sparse_roc(far: Floats, tar: Floats, impostors: int) -> tuple[Floats, Floats]:
    """A part of a ROC that readers can interpolate in.

    Args:
        far: as `write_cmc`.
        tar: as `write_cmc`.
        impostors: as `write_cmc`.

    Returns:
        FAR float64, strictly rising from 0 to 1 and holding every decade that ``impostors`` pairs can measure and the
        curve covers, and the TAR at each: the greatest of any threshold that does not accept more.
    """
    decades = [float(f"1e-{digits}") for digits in range(1, 20) if allowed(f"1e-{digits}", impostors) >= 1]
    decades = [decade for decade in decades if decade <= far[-1] or tar[-1] == 1]
    above = np.searchsorted(far, decades, side="right")
    below = np.searchsorted(far, _spaced(1 / impostors, 1), side="right") - 1
    points = np.unique(np.concatenate([[0.0, 1.0], decades, far[above[above < len(far)]], far[below[below >= 0]]]))
    steps = np.concatenate([[0.0], tar])[np.searchsorted(far, points, side="right")]
    steps[-1] = 1.0  # the threshold below every score
    return points, steps


def _spaced(first: float, last: float) -> Floats:
    """From ``first`` to ``last``, both included."""
    count = int(np.ceil(np.log10(last / first) * PER_DECADE)) + 1
    spaced: Floats = np.geomspace(first, last, count)
    return spaced


def _rising_rates(rates: Floats) -> bool:
    return bool(np.all(np.diff(rates) >= 0) and np.all((rates >= 0) & (rates <= 1)))


def _write(path: Path, content: object) -> None:
    write_text(path, json.dumps(content, allow_nan=False) + "\n")
