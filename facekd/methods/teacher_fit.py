"""What the cosines to the teacher say at the end of a distillation: underfitted, or too few images, or neither.

The rules are ours. All figures are means over lines of the training log of the last stage, whose teacher is one:

* The end is the last tenth of the lines, the middle the tenth around the half.
* ``underfitted``: the cosine on training images is below `LOW_COSINE` at the end, and rose by `RISE` or more from the
  middle to the end. Between them the number of images seen doubled, so another doubling may bring about as much.
* ``needs more images``: the distance 1 - cos on held-out images is at least `DISTANCE_RATIO` times that on training
  images, and the cosine is lower by `GAP` or more. Longer training would raise the training cosine alone.
* Where both hold, the images come first.

Limits. A falling learning rate raises the cosine by itself, and a rate that was too low for the whole training looks
as if the student were at its end. Training images are seen with augmentation and with the batch's own statistics,
held-out images with neither: a strong augmentation hides a gap, and a learning rate that is high at the end makes one.
Held-out images may show people of the training images, so the gap to new people is larger. Below `MIN_LINES` lines or
`MIN_IMAGES` held-out images nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facekd.io.training_log import HELD_OUT_COSINE, TEACHER_COSINE

UNDERFITTED = "underfitted"
NEEDS_IMAGES = "needs more images"
LOW_COSINE = 0.9
"""Above it a student is close to its teacher, and a longer training changes little."""
RISE = 0.02
DISTANCE_RATIO = 1.25
GAP = 0.03
MIN_LINES = 5
MIN_IMAGES = 50


@dataclass(frozen=True)
class TeacherFit:
    """The agreement of a student with its teacher at the end of a training.

    Attributes:
        training: mean cosine on training images.
        held_out: mean cosine on held-out images; None if none were measured.
        held_out_images: number of these images.
        verdict: `UNDERFITTED`, `NEEDS_IMAGES`, or empty if neither holds.
        sentence: the figures and the verdict for people.
    """

    training: float
    held_out: float | None
    held_out_images: int
    verdict: str
    sentence: str


def judge_fit(log: Sequence[Mapping[str, Any]], held_out_images: int = 0, *, follows_embeddings: bool = True
              ) -> TeacherFit | None:
    """Return what the log of a training says; None for a log without cosines to the teacher.

    Args:
        log: the lines of ``log.jsonl``.
        held_out_images: number of images behind each held-out cosine.
        follows_embeddings: whether the loss pulls each embedding to the teacher's; otherwise there is no verdict, as a
            low cosine is no fault.
    """
    lines = [line for line in log if TEACHER_COSINE in line]
    cosines = [float(line[TEACHER_COSINE]) for line in lines if line["stage"] == lines[-1]["stage"]]
    if not cosines:
        return None
    window = max(1, round(len(cosines) / 10))
    middle = (len(cosines) - window) // 2
    training = _mean(cosines[-window:])
    rise = training - _mean(cosines[middle : middle + window])
    held_out = next((float(line[HELD_OUT_COSINE]) for line in reversed(log) if HELD_OUT_COSINE in line), None)
    figures = f"cosine to the teacher {training:.3f} on training images"
    if held_out is not None:
        figures += f" and {held_out:.3f} on {held_out_images:,} held-out images"
    verdict, sentence = "", figures
    if follows_embeddings and held_out_images >= MIN_IMAGES and held_out is not None and _has_gap(training, held_out):
        verdict, sentence = NEEDS_IMAGES, f"needs more images: {figures}"
    elif follows_embeddings and len(cosines) >= MIN_LINES and training < LOW_COSINE and rise >= RISE:
        verdict = UNDERFITTED
        sentence = f"underfitted, train longer: {figures}; the first rose by {rise:.3f} in the second half of the " \
                   "training"
    return TeacherFit(round(training, 4), None if held_out is None else round(held_out, 4), held_out_images, verdict,
                      sentence)


def _has_gap(training: float, held_out: float) -> bool:
    return training - held_out >= GAP and 1 - held_out >= DISTANCE_RATIO * (1 - training)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
