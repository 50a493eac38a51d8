"""The similarity above which the teacher accepts two images as one person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facekd.evaluation.agreement.pairs import ImagePairs
from facekd.evaluation.statistics.far import allowed_false_accepts, measurable_fars
from facekd.evaluation.types import FloatArray, IntArray

ALL_DIFFERENT = ("thresholds take all pairs of the images as different people; where a person has several images, the "
                 "true false accept rate is lower than stated")
"""The assumption about images without labels."""


@dataclass(frozen=True)
class TeacherThreshold:
    """A threshold of the teacher.

    Attributes:
        value: the similarity above which a pair is accepted.
        far: its false accept rate as text; None if it is not known.
        source: where it comes from, in words.
    """

    value: float
    far: str | None
    source: str


def thresholds_of_images(similarity: FloatArray, pairs: ImagePairs, people: IntArray | None, fars: Sequence[str]
                         ) -> tuple[list[TeacherThreshold], list[str]]:
    """Compute the teacher's thresholds at false accept rates from the images themselves.

    Args:
        similarity: float64 [pairs], the teacher's.
        pairs: the pairs.
        people: int64 [images], the person in each image; None takes all pairs as different people.
        fars: the rates as text.

    Returns:
        The lowest threshold at each rate that accepts at most floor(FAR * pairs) pairs of different people; and notes:
        the assumption, and the rates for which there are too few pairs.

    Raises:
        DataError: a text is no rate.
    """
    of_strangers = similarity if people is None else similarity[people[pairs.first] != people[pairs.second]]
    usable, _ = measurable_fars(fars, len(of_strangers))
    falling = np.sort(of_strangers)[::-1]
    kind = "pairs of these images, taken as different people" if people is None else "pairs of different people"
    found = [TeacherThreshold(float(falling[allowed_false_accepts(far, len(falling))]), far,
                              f"of {len(falling):,} {kind}") for far in usable]
    notes = [] if people is not None or not found else [ALL_DIFFERENT]
    missing = [far for far in fars if far not in usable]
    if missing:
        notes.append(f"no threshold at FAR {' and '.join(missing)}: {len(falling):,} pairs of different people are too "
                     "few; use more images or --pairs")
    return found, notes
