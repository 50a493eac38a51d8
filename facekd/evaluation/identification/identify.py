"""Identification among distractors: the MegaFace challenge 1 protocol (Kemelmacher-Shlizerman et al., CVPR 2016)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from facekd.data.feature_set import FeatureSet, SelectedFeatures
from facekd.errors import DataError
from facekd.evaluation.identification.mates import Floats, Ints, Mates, exact_scores
from facekd.evaluation.identification.partial_counts import Tally
from facekd.evaluation.identification.per_identity import people
from facekd.evaluation.identification.rank_counter import Counter, levels_of
from facekd.evaluation.identification.result import IdentificationResult
from facekd.evaluation.identification.score_tiles import Singles
from facekd.evaluation.identification.streaming import count_ahead
from facekd.evaluation.identification.top_scores import Impostors
from facekd.evaluation.statistics.bootstrap import bootstrap
from facekd.evaluation.statistics.far import allowed, measurable

FARS = ("1e-2", "1e-3", "1e-4", "1e-5", "1e-6")
MOST = 4_000_000
"""False accepts of the largest FAR that is measured: the impostor scores above its threshold are kept."""
SAMPLE = 4096
"""Distractors that the level is judged by."""
LEAST = 1e-4
"""Of all scores, the share that is given out at least."""
ROC_POINTS = 400


def identify(
    probes: FeatureSet,
    distractors: FeatureSet,
    fars: Sequence[str] = FARS,
    device: torch.device | str = "cpu",
    resamples: int = 1000,
    seed: int = 0,
    state: Path | None = None,
) -> IdentificationResult | None:
    """Rank every probe's mates among distractors, and verify probes against them.

    For every person and every ordered pair (probe, mate) of that person's images the gallery is the mate and all
    distractors; the mate's rank is one more than the number of distractors that score at least as high (a distractor
    with the mate's very score is ahead of it). TAR at a FAR: genuine pairs are the pairs of one person's probes,
    impostor pairs every probe with every distractor; it is the largest true accept rate of any threshold that accepts
    at most floor(FAR * impostors) impostor pairs. Intervals resample people, with all their probes.

    A score is the float64 dot product of two float32 rows of unit length. Ranks and rates are exact for these scores,
    though nearly all are computed in float32 (`rank_counter`), and never held all at once: beyond the
    probes, memory does not grow with the distractors.

    Args:
        probes: with labels.
        distractors: read once, in blocks.
        fars: false accept rates as text, e.g. ``"1e-6"``; they are the keys of the result.
        device: where scores are computed.
        resamples: bootstrap resamples.
        seed: of the bootstrap.
        state: file that an interrupted comparison is continued from; removed at the end.

    Returns:
        the result; None in all processes of torchrun but the first.

    Raises:
        DataError: dimensions differ, a row is zero or not finite, labels, distractors or pairs of probes are missing.
        SetupError: the disk is full.
    """
    if probes.dimension != distractors.dimension:
        raise DataError(
            f"{probes.path} has {probes.dimension} numbers a row, {distractors.path} {distractors.dimension}: "
            "use features of one model for both"
        )
    if probes.labels is None:
        raise DataError(f"{probes.path} does not say who is who; write int64 labels beside it (NAME.labels.npy)")
    mates = Mates(probes.all(), probes.labels)
    impostors = len(probes) * len(distractors)
    usable, notes = measurable(fars, impostors)
    large = [far for far in usable if allowed(far, impostors) > MOST]
    notes += [f"TAR at FAR {far} is not given: over {MOST:,} impostor scores would have to be kept" for far in large]
    usable = [far for far in usable if far not in large]
    counter, tally = _counted(mates, distractors, usable, torch.device(device), state)
    if tally is None:
        return None
    ahead, top = counter.ahead(tally.places, tally.deep), tally.impostors
    counts = people(mates, ahead, top, len(distractors), max(counter.level, top.floor) + counter.error)
    drawn = bootstrap(lambda w: counts.figures(w, usable), (mates.sizes > 1).astype(np.int64), resamples, seed)
    ends = [(low, high) for low, high in drawn.tolist()]
    genuine = np.sort(mates.score[mates.genuine])
    limits = _thresholds(mates, distractors, top, usable)
    notes += [f"TAR at FAR {far} is not given: the {SAMPLE:,} distractors that were sampled score much higher than "
              "most; shuffle the distractors" for far, limit in limits.items() if limit is None]
    tars = {far: _share_above(genuine, limit) for far, limit in limits.items() if limit is not None}
    intervals = {far: pair for far, pair in zip(usable, ends[1:], strict=True) if far in tars}
    single = int((mates.sizes == 1).sum())
    if single:
        notes.insert(0, f"{single} of {len(mates.sizes)} people have one probe: no mate to find, impostor pairs only")
    cmc = tuple((counts.hits.sum(axis=0) / len(ahead)).tolist())
    far, roc = _curve(genuine, np.sort(top.score)[::-1], impostors, tars)
    return IdentificationResult(
        rank1=cmc[0], rank1_interval=ends[0], cmc=cmc, pairs=len(ahead), probes=len(probes),
        identities=len(mates.sizes), distractors=len(distractors), tar={far: tars.get(far) for far in fars},
        tar_interval={far: intervals.get(far) for far in fars}, notes=tuple(notes), mates=mates, ahead=ahead,
        people=counts, far=far, roc=roc,
    )


def _counted(mates: Mates, distractors: FeatureSet, fars: Sequence[str], device: torch.device,
             state: Path | None) -> tuple[Counter, Tally | None]:
    """One pass over the distractors, at a level that a sample of them gives."""
    total = len(mates.probes) * len(distractors)
    needed = max((allowed(far, total) + 1 for far in fars), default=0)
    index = np.unique(np.linspace(0, len(distractors) - 1, SAMPLE).astype(np.int64))
    sample = SelectedFeatures(distractors, index).unit(0, len(index))
    counter = Counter(mates, *levels_of(mates, sample, max(LEAST, 2.5 * needed / total)))
    if device.type == "cpu":
        counter.bound(sample)
    facts = f"{distractors.path} {len(distractors)} {distractors.dimension} {counter.level} {needed}"
    key = hashlib.sha256(facts.encode() + sample.tobytes() + mates.probes.tobytes() + mates.person.tobytes())
    return counter, count_ahead(counter, distractors, 2 * needed, device, state, key.hexdigest())


def _thresholds(mates: Mates, distractors: FeatureSet, top: Impostors, fars: Sequence[str]) -> dict[str, float | None]:
    """The highest impostor score that is one too many at each rate, exactly; None where not enough were kept."""

    def exact(rows: Ints, columns: Ints) -> Floats:
        distinct, of = np.unique(columns, return_inverse=True)
        needed = SelectedFeatures(distractors, distinct).unit(0, len(distinct))
        return exact_scores(mates.probes, rows, needed, of)

    return {far: top.exact(allowed(far, len(mates.probes) * len(distractors)) + 1, exact) for far in fars}


def _share_above(rising: Floats, threshold: float) -> float:
    return (len(rising) - int(np.searchsorted(rising, threshold, "right"))) / len(rising)


def _curve(genuine: Floats, falling: Singles, impostors: int, exact: Mapping[str, float]) -> tuple[Floats, Floats]:
    """The ROC curve as far as the highest impostor scores go; the rates that are exact stand in it as they are."""
    known = {float(far): tar for far, tar in exact.items()} or {1.0: 1.0}
    ends = np.array(sorted({0.0: 0.0, **known}.items()))
    most = min(len(falling) - 1, int(max(known) * impostors))
    for k in np.unique(np.geomspace(1, most, ROC_POINTS).astype(np.int64)).tolist() if most > 0 else []:
        # Float32 scores may lie on the wrong side of a tie: an exact rate to the right or left sets them right.
        place = int(np.searchsorted(ends[:, 0], k / impostors))
        below, above = ends[max(place - 1, 0), 1], ends[min(place, len(ends) - 1), 1]
        known.setdefault(k / impostors, float(np.clip(_share_above(genuine, float(falling[k])), below, above)))
    points = np.array(sorted(known.items()))
    return points[:, 0], points[:, 1]
