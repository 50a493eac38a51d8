"""Identification among distractors: the MegaFace challenge 1 protocol (Kemelmacher-Shlizerman et al., CVPR 2016)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from facekd.data.feature_set import FeatureSet, FeatureSubset
from facekd.errors import DataError
from facekd.evaluation.identification.counting_thresholds import choose_thresholds
from facekd.evaluation.identification.mates import Mates, exact_scores
from facekd.evaluation.identification.partial_counts import PartialCounts
from facekd.evaluation.identification.per_identity import count_per_identity
from facekd.evaluation.identification.rank_counter import RankCounter
from facekd.evaluation.identification.result import IdentificationResult
from facekd.evaluation.identification.streaming import count_distractors_ahead
from facekd.evaluation.identification.top_scores import TopScores
from facekd.evaluation.statistics.bootstrap import bootstrap
from facekd.evaluation.statistics.far import allowed_false_accepts, measurable_fars
from facekd.evaluation.types import Float32Array, FloatArray, IntArray

FARS = ("1e-2", "1e-3", "1e-4", "1e-5", "1e-6")
MAX_FALSE_ACCEPTS = 4_000_000
"""False accepts of the largest FAR that is measured: the impostor scores above its threshold are kept in memory."""
SAMPLED_DISTRACTORS = 4096
"""Distractors that the thresholds of the counter are estimated on."""
MIN_IMPOSTOR_SHARE = 1e-4
"""Smallest share of all impostor scores that the counter returns."""
ROC_POINTS = 400


def identify(
    probes: FeatureSet, distractors: FeatureSet, fars: Sequence[str] = FARS, *, enrolled: FeatureSet | None = None,
    device: torch.device | str = "cpu", resamples: int = 1000, seed: int = 0, checkpoint: Path | None = None,
) -> IdentificationResult | None:
    """Rank every probe's mates among distractors, and verify probes against the distractors.

    For every person and every ordered pair (probe, mate) of that person's images the gallery is the mate and all
    distractors. The mate's rank is one more than the number of distractors that score at least as high (a distractor
    with exactly the mate's score is ahead of it). TAR at a FAR: genuine pairs are the pairs of one person's probes,
    impostor pairs are every probe with every distractor; it is the largest true accept rate of any threshold that
    accepts at most floor(FAR * impostors) impostor pairs. Intervals resample people, with all their probes.

    A score is the float64 dot product of two float32 rows of unit length. Ranks and rates are exact for these scores,
    although most are computed in float32 (see `facekd.evaluation.identification`) and never held all at once: apart
    from the probes, memory does not grow with the number of distractors.

    Args:
        probes: the probes, with labels.
        distractors: the distractors; they are read once, in blocks.
        fars: false accept rates as text, e.g. ``"1e-6"``; they are the keys of the result.
        enrolled: the probes as mates, by the model of the distractors if that is another one; by default ``probes``.
        device: device of the scores.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.
        checkpoint: file that an interrupted comparison is continued from; it is removed at the end.

    Returns:
        The result; None in all processes of torchrun but the first.

    Raises:
        DataError: dimensions differ, a row is zero or not finite, or there are no labels, no distractors, or no two
            probes of one person.
        SetupError: the disk is full.
    """
    if probes.dimension != distractors.dimension:
        raise DataError(
            f"{probes.path} has {probes.dimension} numbers a row, {distractors.path} {distractors.dimension}: "
            "use features of one model for both"
        )
    if probes.labels is None:
        raise DataError(f"{probes.path} has no labels; write int64 labels next to it (NAME.labels.npy)")
    mates = Mates(probes.all_l2_normalized_rows(), probes.labels,
                  None if enrolled is None else enrolled.all_l2_normalized_rows())
    usable, notes = _usable_fars(fars, len(probes) * len(distractors))
    counter, counts = _count(mates, distractors, usable, torch.device(device), checkpoint)
    if counts is None:
        return None
    ahead = counter.distractors_ahead(counts.insertion_counts, counts.deep_counts)
    limits = _thresholds(mates, distractors, counts.impostors, usable)
    notes += [f"TAR at FAR {far} is not given: the {SAMPLED_DISTRACTORS:,} distractors that were sampled score much "
              "higher than most; shuffle the distractors" for far, limit in limits.items() if limit is None]
    single = int((mates.sizes == 1).sum())
    if single:
        notes.insert(0, f"{single} of {len(mates.sizes)} people have one probe: no mate to find, impostor pairs only")
    genuine = np.sort(mates.score[mates.genuine])
    tars = {far: _share_above(genuine, limit) for far, limit in limits.items() if limit is not None}
    # Scores below the floors were not kept, and float32 scores near a floor may have been rounded below it.
    lowest_complete = max(counter.score_floor, counts.impostors.floor) + counter.score_error
    per_identity = count_per_identity(mates, ahead, counts.impostors, len(distractors), lowest_complete)
    # People with one probe have no mate; as a stratum of their own they never displace those who have.
    strata = (mates.sizes > 1).astype(np.int64)
    resampled = bootstrap(lambda weights: per_identity.rates(weights, usable), strata, resamples, seed)
    intervals = [(low, high) for low, high in resampled.tolist()]
    tar_intervals = {far: ends for far, ends in zip(usable, intervals[1:], strict=True) if far in tars}
    cmc = tuple((per_identity.hits.sum(axis=0) / len(ahead)).tolist())
    roc_far, roc_tar = _roc_curve(genuine, np.sort(counts.impostors.scores)[::-1], len(probes) * len(distractors), tars)
    return IdentificationResult(
        rank1=cmc[0], rank1_interval=intervals[0], cmc=cmc, pairs=len(ahead), probes=len(probes),
        identities=len(mates.sizes), distractors=len(distractors), tar={far: tars.get(far) for far in fars},
        tar_interval={far: tar_intervals.get(far) for far in fars}, notes=tuple(notes), mates=mates,
        distractors_ahead=ahead, identity_counts=per_identity, roc_far=roc_far, roc_tar=roc_tar,
    )


def _usable_fars(fars: Sequence[str], impostors: int) -> tuple[list[str], list[str]]:
    """Return the rates that can be measured in memory, and a note for each of the others."""
    usable, notes = measurable_fars(fars, impostors)
    too_large = [far for far in usable if allowed_false_accepts(far, impostors) > MAX_FALSE_ACCEPTS]
    notes += [f"TAR at FAR {far} is not given: over {MAX_FALSE_ACCEPTS:,} impostor scores would have to be kept"
              for far in too_large]
    return [far for far in usable if far not in too_large], notes


def _count(mates: Mates, distractors: FeatureSet, fars: Sequence[str], device: torch.device,
           checkpoint: Path | None) -> tuple[RankCounter, PartialCounts | None]:
    """Make one pass over the distractors, with thresholds that a sample of them suggests."""
    total = len(mates.probes) * len(distractors)
    scores_needed = max((allowed_false_accepts(far, total) + 1 for far in fars), default=0)
    sampled = np.unique(np.linspace(0, len(distractors) - 1, SAMPLED_DISTRACTORS).astype(np.int64))
    sample = FeatureSubset(distractors, sampled).l2_normalized_rows(0, len(sampled))
    # The sample misjudges the share of high scores, so the floor leaves 2.5 times as many as are needed.
    share = max(MIN_IMPOSTOR_SHARE, 2.5 * scores_needed / total)
    counter = RankCounter(mates, *choose_thresholds(mates, sample, share))
    if device.type == "cpu":
        counter.use_score_bound(sample)
    facts = f"{distractors.path} {len(distractors)} {distractors.dimension} {counter.score_floor} {scores_needed}"
    content = facts.encode() + sample.tobytes() + mates.probes.tobytes() + mates.identity.tobytes()
    if mates.mate_rows is not mates.probes:
        content += mates.mate_rows.tobytes()
    key = hashlib.sha256(content).hexdigest()
    return counter, count_distractors_ahead(counter, distractors, 2 * scores_needed, device, checkpoint, key)


def _thresholds(mates: Mates, distractors: FeatureSet, impostors: TopScores,
                fars: Sequence[str]) -> dict[str, float | None]:
    """Return the highest impostor score that is one too many at each rate, exactly; None if too few were kept."""

    def exact(rows: IntArray, columns: IntArray) -> FloatArray:
        """Compute the exact scores of probes with distractors, which are read again."""
        distinct, index = np.unique(columns, return_inverse=True)
        needed = FeatureSubset(distractors, distinct).l2_normalized_rows(0, len(distinct))
        return exact_scores(mates.probes, rows, needed, index)

    total = len(mates.probes) * len(distractors)
    return {far: impostors.kth_exact_score(allowed_false_accepts(far, total) + 1, exact) for far in fars}


def _share_above(rising: FloatArray, threshold: float) -> float:
    return (len(rising) - int(np.searchsorted(rising, threshold, "right"))) / len(rising)


def _roc_curve(genuine: FloatArray, falling: Float32Array, impostors: int,
               exact_tars: Mapping[str, float]) -> tuple[FloatArray, FloatArray]:
    """Compute the ROC curve as far as the highest impostor scores reach; it contains the exact rates unchanged.

    Args:
        genuine: float64 [genuine], rising.
        falling: float32 [kept], the highest impostor scores.
        impostors: number of impostor pairs.
        exact_tars: exact TAR by FAR.
    """
    points = {float(far): tar for far, tar in exact_tars.items()} or {1.0: 1.0}
    exact_points = np.array(sorted({0.0: 0.0, **points}.items()))
    last = min(len(falling) - 1, int(max(points) * impostors))
    for k in np.unique(np.geomspace(1, last, ROC_POINTS).astype(np.int64)).tolist() if last > 0 else []:
        # Float32 scores can be on the wrong side of a tie; the exact rates to the left and right limit the error.
        following = int(np.searchsorted(exact_points[:, 0], k / impostors))
        low = exact_points[max(following - 1, 0), 1]
        high = exact_points[min(following, len(exact_points) - 1), 1]
        points.setdefault(k / impostors, float(np.clip(_share_above(genuine, float(falling[k])), low, high)))
    curve = np.array(sorted(points.items()))
    return curve[:, 0], curve[:, 1]
