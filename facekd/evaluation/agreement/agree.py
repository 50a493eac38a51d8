"""How closely a student follows its teacher on images without labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from facekd.errors import DataError
from facekd.evaluation.agreement.pairs import ImagePairs, RankCorrelation
from facekd.evaluation.agreement.result import AgreementResult, Cosines, Decisions
from facekd.evaluation.agreement.thresholds import TeacherThreshold
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap
from facekd.evaluation.statistics.estimate import Estimate
from facekd.evaluation.types import BoolArray, Float32Array, FloatArray, IntArray

MIN_IMAGES = 8
"""With fewer images an interval means nothing."""
WORST_IMAGES = 24
"""Images that are named and drawn."""
OTHER_SPACE = ("the embeddings have equal lengths but point in unrelated directions: the student has a space of its "
               "own, and its embeddings cannot be compared with the teacher's")
NO_COSINE = ("no cosine to the teacher: the student's embeddings have {student} numbers, the teacher's {teacher}; the "
             "similarities of pairs are compared instead")
INTERVALS = "intervals resample images; the thresholds stay fixed"


class PairScores(NamedTuple):
    """The similarities of the same pairs by both models, float64 [pairs]."""

    student: FloatArray
    teacher: FloatArray


def measure_agreement(
    cosines: FloatArray | None, dimensions: tuple[int, int], pairs: ImagePairs, scores: PairScores, images: int,
    thresholds: Sequence[TeacherThreshold], notes: Sequence[str] = (), *, resamples: int = 300, seed: int = 0,
) -> AgreementResult:
    """Measure the agreement of two models.

    Intervals resample images with replacement: a pair counts as often as the product of the counts of its images, so
    pairs that share an image are not taken as independent. For a random sample of the pairs the intervals are somewhat
    too wide.

    Args:
        cosines: float64 [images], see `paired_cosines`; None if the embeddings differ in length.
        dimensions: length of the embeddings of student and teacher.
        pairs: pairs of the images.
        scores: the similarities of the pairs by both models.
        images: number of images.
        thresholds: thresholds of the teacher.
        notes: sentences about the thresholds.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        DataError: there are fewer than `MIN_IMAGES` images.
    """
    if images < MIN_IMAGES:
        raise DataError(f"agreement is measured on {MIN_IMAGES} images or more, not on {images}; give more images")
    correlation = RankCorrelation(scores.teacher, scores.student)
    accepted = [(scores.student > threshold.value, scores.teacher > threshold.value) for threshold in thresholds]

    def figures(weights: Weights) -> FloatArray:
        """Compute all figures of each resample."""
        return np.stack([_figures(row, cosines, pairs, correlation, accepted) for row in weights])

    ones = np.ones((1, images), np.int32)
    ends = bootstrap(figures, np.zeros(images, np.int64), resamples, seed).tolist()
    estimates = [Estimate(value, (low, high))
                 for value, (low, high) in zip(figures(ones)[0].tolist(), ends, strict=True)]
    cosine = Cosines(*estimates[:3]) if cosines is not None else None
    rank_correlation, *rates = estimates[3 if cosine else 0 :]
    decisions = tuple(_decisions(threshold, scores, both, rates[2 * number], rates[2 * number + 1])
                      for number, (threshold, both) in enumerate(zip(thresholds, accepted, strict=True)))
    all_notes = [*notes, INTERVALS]
    if cosine is None:
        all_notes.insert(0, NO_COSINE.format(student=dimensions[0], teacher=dimensions[1]))
    elif cosine.mean.interval[1] < 0.1:
        all_notes.insert(0, OTHER_SPACE)
    worst = _worst_images(cosines, pairs, correlation.shift, images)
    return AgreementResult(images, len(pairs), pairs.complete, cosine, rank_correlation, decisions, worst,
                           tuple(all_notes))


def paired_cosines(student: Float32Array, teacher: Float32Array) -> FloatArray | None:
    """Compute the cosine of both embeddings of each image, float64 [images]; None if they differ in length.

    Args:
        student: float32 [images, dimension], rows of unit length.
        teacher: float32 [images, dimension], rows of unit length.
    """
    if student.shape != teacher.shape:
        return None
    return np.asarray(np.einsum("ij,ij->i", student.astype(np.float64), teacher))


def _figures(weights: IntArray, cosines: FloatArray | None, pairs: ImagePairs, correlation: RankCorrelation,
             accepted: Sequence[tuple[BoolArray, BoolArray]]) -> FloatArray:
    """Compute mean, median and 1 % of the cosines, the rank correlation, and two rates for each threshold."""
    values: list[float] = []
    if cosines is not None:
        median, lowest = np.quantile(cosines, [0.5, 0.01], weights=weights, method="inverted_cdf")
        values += [float(weights @ cosines) / float(weights.sum()), float(median), float(lowest)]
    counts = weights[pairs.first] * weights[pairs.second]
    values.append(correlation(counts))
    total = max(float(counts.sum()), 1.0)
    for student, teacher in accepted:
        values.append(float(counts[student != teacher].sum()) / total)
        kept, of_teacher = float(counts[student & teacher].sum()), float(counts[teacher].sum())
        values.append(kept / of_teacher if of_teacher else 1.0)
    return np.array(values)


def _decisions(threshold: TeacherThreshold, scores: PairScores, accepted: tuple[BoolArray, BoolArray],
               differ: Estimate, kept: Estimate) -> Decisions:
    student, teacher = accepted
    count = int(teacher.sum())
    own = _accepting(scores.student, count)
    return Decisions(
        threshold.value, threshold.far, threshold.source, differ, kept if count else None, count,
        int(student.sum()), own, float((scores.student[teacher] > own).mean()) if count else None,
    )


def _accepting(scores: FloatArray, count: int) -> float:
    """Return the lowest threshold above which at most ``count`` scores lie."""
    if count >= len(scores):
        return float(np.nextafter(scores.min(), -np.inf))
    return float(np.partition(scores, len(scores) - count - 1)[len(scores) - count - 1])


def _worst_images(cosines: FloatArray | None, pairs: ImagePairs, shift: FloatArray, images: int
                  ) -> tuple[tuple[int, float], ...]:
    """Return the images of lowest cosine, or without cosines those whose pairs change their ranks most."""
    if cosines is not None:
        order, figures = np.argsort(cosines, kind="stable"), cosines
    else:
        both = np.concatenate([pairs.first, pairs.second])
        counts = np.bincount(both, minlength=images)
        figures = np.bincount(both, np.abs(np.tile(shift, 2)), minlength=images) / np.maximum(counts, 1)
        order = np.argsort(-figures, kind="stable")
    return tuple((int(index), float(figures[index])) for index in order[:WORST_IMAGES])
