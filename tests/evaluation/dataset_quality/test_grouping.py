from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from facekd.data.feature_set import Features
from facekd.evaluation.dataset_quality import grouping as module
from facekd.evaluation.dataset_quality.grouping import Grouping, compare_with_labels, group_rows
from tests.evaluation.dataset_quality.test_average_linkage import people, unit


@pytest.fixture(scope="module")
def rows() -> Features:
    return people(30, 9, 0.6)


@pytest.fixture(scope="module")
def grouping(rows: Features) -> Grouping:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE_ROWS", 23)
        return group_rows(rows, 0.5)


def test_groups_are_numbered_from_the_largest(grouping: Grouping) -> None:
    sizes = np.bincount(grouping.group[grouping.group >= 0])
    assert (np.diff(sizes) <= 0).all() and sizes[-1] >= 2 and len(sizes) == grouping.people


def test_cosines_are_means_over_pairs(rows: Features, grouping: Grouping) -> None:
    exact = rows.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    for index in range(len(rows)):
        means = [(exact[[i for i in np.flatnonzero(grouping.group == number) if i != index]] @ exact[index]).mean()
                 for number in range(grouping.people)]
        own = grouping.group[index]
        others = np.array([-np.inf if number == own else mean for number, mean in enumerate(means)])
        assert grouping.next_group[index] == others.argmax()
        assert grouping.next_cosine[index] == pytest.approx(others.max(), abs=1e-5)
        assert own < 0 or grouping.own_cosine[index] == pytest.approx(means[own], abs=1e-5)


def test_images_of_small_groups_are_alone(rows: Features, grouping: Grouping) -> None:
    larger = group_rows(rows, 0.5, min_images=4)
    sizes = np.bincount(grouping.group[grouping.group >= 0])
    assert (larger.people, larger.alone) == ((sizes >= 4).sum(), len(rows) - sizes[sizes >= 4].sum())
    assert np.isnan(larger.own_cosine[larger.group < 0]).all()


def test_the_margin_of_an_image_alone_is_that_of_the_threshold() -> None:
    grouping = group_rows(unit(np.array([[1, 0, 0], [1, 0.1, 0], [0.6, 0, 0.8]])), 0.7)
    assert grouping.group.tolist() == [0, 0, -1]
    assert grouping.margin[2] == pytest.approx(0.7 - grouping.next_cosine[2])
    assert np.isinf(grouping.margin[:2]).all() and grouping.next_group.tolist() == [-1, -1, 0]


def test_without_groups_all_are_alone() -> None:
    grouping = group_rows(unit(np.eye(4)), 0.5)
    assert (grouping.people, grouping.alone, grouping.next_group.tolist()) == (0, 4, [-1] * 4)


def test_agreement_is_counted_over_pairs() -> None:
    rng = np.random.default_rng(0)
    group, labels = rng.integers(-1, 6, 80), rng.integers(0, 5, 80)
    alone = np.where(group < 0, 100 + np.arange(80), group)
    first, second = np.triu_indices(80, 1)
    together, same = alone[first] == alone[second], labels[first] == labels[second]
    agreement = compare_with_labels(group, labels)
    assert agreement.precision == pytest.approx((together & same).sum() / together.sum())
    assert agreement.recall == pytest.approx((together & same).sum() / same.sum())
    assert agreement.purity == pytest.approx(sum(np.bincount(labels[alone == g]).max() for g in np.unique(alone)) / 80)
    assert agreement.adjusted_rand == pytest.approx(adjusted_rand_score(labels, alone))


def test_equal_groups_agree_completely() -> None:
    agreement = compare_with_labels(np.array([0, 0, 1, -1]), np.array([3, 3, 1, 0]))
    assert agreement.describe() == ("pairs in one group: 100.00% right, 100.00% of all that belong together; purity "
                                    "100.00%, adjusted Rand 1.000")
