from __future__ import annotations

import numpy as np
import pytest

from facekd.errors import DataError
from facekd.evaluation.agreement.agree import (
    INTERVALS,
    OTHER_SPACE,
    PairScores,
    measure_agreement,
    paired_cosines,
)
from facekd.evaluation.agreement.pairs import choose_pairs, similarities
from facekd.evaluation.agreement.result import AgreementResult
from facekd.evaluation.agreement.thresholds import TeacherThreshold
from facekd.evaluation.types import Float32Array
from tests.evaluation.toy import unit_rows

TEACHER = unit_rows(np.random.default_rng(0).normal(size=(40, 16)))
HALF = TeacherThreshold(0.1, "1e-1", "as given")


def measured(student: Float32Array, teacher: Float32Array = TEACHER, thresholds: tuple[TeacherThreshold, ...] = (HALF,),
             resamples: int = 100) -> AgreementResult:
    pairs = choose_pairs(len(teacher), 10_000)
    scores = PairScores(similarities(student, pairs), similarities(teacher, pairs))
    return measure_agreement(paired_cosines(student, teacher), (student.shape[1], teacher.shape[1]), pairs, scores,
                             len(teacher), thresholds, resamples=resamples)


def noisy(amount: float) -> Float32Array:
    return unit_rows(TEACHER + amount * np.random.default_rng(1).normal(size=TEACHER.shape))


def test_a_student_that_is_its_teacher_agrees_in_everything() -> None:
    result = measured(TEACHER)
    assert result.cosine is not None
    assert result.cosine.mean.value == pytest.approx(1) and result.rank_correlation.value == pytest.approx(1)
    decisions = result.decisions[0]
    assert (decisions.differ.value, decisions.kept_at_own) == (0, 1)
    assert decisions.kept is not None and decisions.kept.interval == (1, 1)


def test_the_cosines_are_summarized_over_the_images() -> None:
    student = noisy(0.3)
    cosines = (student.astype(np.float64) * TEACHER).sum(axis=1)
    result = measured(student)
    assert result.cosine is not None
    assert result.cosine.mean.value == pytest.approx(cosines.mean())
    assert result.cosine.median.value == pytest.approx(np.sort(cosines)[19])
    assert result.cosine.percentile1.value == pytest.approx(cosines.min())
    low, high = result.cosine.mean.interval
    assert low < cosines.mean() < high
    assert high - low == pytest.approx(4 * cosines.std() / 40**0.5, rel=0.4)


def test_the_worst_images_have_the_lowest_cosines() -> None:
    student = noisy(0.3)
    cosines = (student.astype(np.float64) * TEACHER).sum(axis=1)
    worst = measured(student).worst
    assert [index for index, _ in worst] == np.argsort(cosines)[:24].tolist()
    assert worst[0][1] == pytest.approx(cosines.min())


def test_decisions_are_counted_at_the_threshold() -> None:
    student = noisy(0.3)
    pairs = choose_pairs(40, 10_000)
    of_student, of_teacher = similarities(student, pairs) > 0.1, similarities(TEACHER, pairs) > 0.1
    decisions = measured(student).decisions[0]
    assert decisions.differ.value == pytest.approx((of_student != of_teacher).mean())
    assert decisions.kept is not None
    assert decisions.kept.value == pytest.approx((of_student & of_teacher).sum() / of_teacher.sum())
    assert (decisions.teacher_accepts, decisions.student_accepts) == (of_teacher.sum(), of_student.sum())
    own = similarities(student, pairs) > decisions.student_threshold
    assert own.sum() == of_teacher.sum()
    assert decisions.kept_at_own == pytest.approx((own & of_teacher).sum() / of_teacher.sum())


@pytest.mark.parametrize(("threshold", "accepted"), [(2.0, 0), (-2.0, 780)])
def test_thresholds_beyond_all_similarities_are_counted(threshold: float, accepted: int) -> None:
    decisions = measured(noisy(0.3), thresholds=(TeacherThreshold(threshold, None, "as given"),)).decisions[0]
    assert (decisions.teacher_accepts, decisions.student_accepts, decisions.differ.value) == (accepted, accepted, 0)
    assert (decisions.kept is None) == (accepted == 0)


def test_unequal_lengths_have_no_cosine_and_say_so() -> None:
    result = measured(unit_rows(noisy(0.3)[:, :8]))
    assert result.cosine is None
    assert result.notes[0].startswith("no cosine to the teacher: the student's embeddings have 8 numbers")
    assert 0 < result.rank_correlation.value < 1


def test_without_a_cosine_the_worst_image_is_the_one_whose_pairs_change_most() -> None:
    student = np.concatenate([TEACHER, np.zeros((40, 1), np.float32)], axis=1)
    student[7, :16] = -student[7, :16]
    index, shift = measured(student).worst[0]
    assert index == 7 and shift > 0.3


def test_a_student_with_a_space_of_its_own_is_named() -> None:
    turned = np.linalg.qr(np.random.default_rng(3).normal(size=(16, 16)))[0]
    result = measured(np.asarray(TEACHER @ turned, np.float32))
    assert result.notes[0] == OTHER_SPACE
    assert result.rank_correlation.value == pytest.approx(1, abs=1e-3)
    assert measured(TEACHER).notes == (INTERVALS,)


def test_the_same_seed_gives_the_same_intervals() -> None:
    assert measured(noisy(0.3)).to_dict() == measured(noisy(0.3)).to_dict()


def test_intervals_of_the_rank_correlation_cover_the_value_of_a_large_set() -> None:
    generator = np.random.default_rng(5)
    direction = generator.normal(size=(16, 16)) * 0.2

    def drawn(images: int) -> tuple[Float32Array, Float32Array]:
        teacher = unit_rows(generator.normal(size=(images, 16)))
        return unit_rows(teacher + teacher @ direction + 0.2 * generator.normal(size=(images, 16))), teacher

    truth = measured(*drawn(250), resamples=2).rank_correlation.value
    covered = 0
    for _ in range(12):
        low, high = measured(*drawn(40), resamples=40).rank_correlation.interval
        covered += low <= truth <= high
    assert covered >= 9


def test_too_few_images_are_refused() -> None:
    with pytest.raises(DataError, match=r"agreement is measured on 8 images or more, not on 5"):
        measured(TEACHER[:5], TEACHER[:5])
