from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from facekd.data.pairs.pair_set import PairSet, build_pair_set
from facekd.evaluation.verification.loss import Loss, count_impostors, measure_losses
from facekd.evaluation.verification.verify import verify

PEOPLE, VIEWS = 30, 3


@pytest.fixture(scope="module")
def pairs() -> PairSet:
    """For each person two genuine pairs, and two impostor pairs with the next person; in two folds."""
    paths = [[Path(f"/faces/p{person:02}/{view}.jpg") for view in range(VIEWS)] for person in range(PEOPLE)]
    first = [paths[person][0] for person in range(PEOPLE) for _ in range(4)]
    second = [path for person in range(PEOPLE) for path in (
        paths[person][1], paths[person][2], paths[(person + 1) % PEOPLE][1], paths[(person + 1) % PEOPLE][2])]
    return build_pair_set(Path("pairs.csv"), first, second, [True, True, False, False] * PEOPLE,
                          [1 + person % 2 for person in range(PEOPLE) for _ in range(4)])


def features(pairs: PairSet, noise: float, seed: int = 0) -> NDArray[np.float64]:
    """Rows of unit length: one center a person, with noise."""
    people = [int(path.parent.name[1:]) for path in pairs.images if isinstance(path, Path)]
    centers = np.random.default_rng(0).normal(size=(PEOPLE, 16))
    rows = centers[people] + noise * np.random.default_rng(seed + 1).normal(size=(len(people), 16))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float64)


@pytest.fixture(scope="module")
def losses(pairs: PairSet) -> dict[str, Loss]:
    measured = measure_losses(features(pairs, 0.5), features(pairs, 1.2), pairs, ["1e-1", "1e-3", "1e-6"])
    return {loss.metric: loss for loss in measured}


def test_every_figure_that_can_be_measured_is(losses: dict[str, Loss]) -> None:
    assert list(losses) == ["accuracy", "auc", "eer", "tar@1e-1", "tar@1e-3"]


def test_values_of_the_list_are_those_of_verify(losses: dict[str, Loss], pairs: PairSet) -> None:
    for noise, side in ((0.5, "reference"), (1.2, "model")):
        rows = features(pairs, noise)
        scores = (rows[pairs.first] * rows[pairs.second]).sum(axis=1)
        result = verify(scores, pairs.same, pairs.fold)
        assert getattr(losses["accuracy"], side) == pytest.approx(result.accuracy)
        assert getattr(losses["auc"], side) == pytest.approx(roc_auc_score(pairs.same, scores))
        assert getattr(losses["eer"], side) == pytest.approx(result.eer)


def test_tar_is_at_the_threshold_of_all_impostor_pairs(losses: dict[str, Loss], pairs: PairSet) -> None:
    rows = features(pairs, 1.2)
    people = np.array([path.parent.name for path in pairs.images if isinstance(path, Path)])
    impostors = np.sort((rows @ rows.T)[np.triu(people[:, None] != people)])[::-1]
    assert count_impostors(pairs) == len(impostors)
    scores = (rows[pairs.first] * rows[pairs.second]).sum(axis=1)[pairs.same]
    assert losses["tar@1e-3"].model == pytest.approx((scores > impostors[len(impostors) // 1000]).mean())


def test_a_worse_model_loses_in_every_figure(losses: dict[str, Loss]) -> None:
    for loss in losses.values():
        assert loss.points == pytest.approx(100 * abs(loss.reference - loss.model))
        assert loss.points > 0
        assert loss.interval[0] <= loss.points <= loss.interval[1]


def test_a_model_loses_nothing_against_itself(pairs: PairSet) -> None:
    rows = features(pairs, 0.8)
    for loss in measure_losses(rows, rows, pairs, ["1e-2"]):
        assert loss.points == 0
        assert loss.interval == (0.0, 0.0)


def test_the_dimensions_may_differ(pairs: PairSet) -> None:
    rows = features(pairs, 0.8)
    padded = np.concatenate([rows, np.zeros((len(rows), 4))], axis=1)
    assert measure_losses(rows, padded, pairs)[0].points == 0


def test_where_people_are_unknown_the_impostors_of_the_list_count() -> None:
    """Two images that a genuine pair and an impostor pair name."""
    first, second = [b"a", b"a", b"b", b"c"], [b"b", b"c", b"c", b"d"]
    pairs = build_pair_set(Path("p.bin"), first, second, [True, True, False, False], [1, 1, 2, 2])
    rows = np.random.default_rng(0).normal(size=(4, 8))
    assert count_impostors(pairs) == 2
    assert [loss.metric for loss in measure_losses(rows, rows, pairs, ["0.5", "0.1"])][3:] == ["tar@0.5"]
