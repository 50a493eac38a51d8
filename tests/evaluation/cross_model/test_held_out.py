from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import pytest
from scipy.stats import ortho_group

from facekd.evaluation.cross_model.feature_map import FeatureMap
from facekd.evaluation.cross_model.held_out import MapResult, draw_pairs, measure_map
from facekd.evaluation.types import IntArray
from tests.evaluation.cross_model.test_feature_map import FACTS
from tests.evaluation.toy import unit_rows

LABELS = np.arange(15).repeat(4)


@lru_cache
def measure(labeled: bool = True, helps: bool = True) -> MapResult:
    """A map that undoes the rotation of an old model; or one that rotates an old model that needs none."""
    rng = np.random.default_rng(0)
    people = rng.normal(size=(15, 6)).repeat(4, axis=0)
    new = unit_rows(people + 0.5 * rng.normal(size=people.shape)).astype(float)
    rotation = ortho_group.rvs(6, random_state=1)
    model = FACTS.old.model_copy(update={"dimension": 6})
    facts = FACTS.model_copy(update={"old": model, "new": model})
    feature_map = FeatureMap(rotation.astype(np.float32), np.zeros(6, np.float32), facts)
    return measure_map(feature_map, new @ rotation.T if helps else new, new, LABELS if labeled else None,
                       names=("o", "n"), resamples=10)


def test_a_map_that_undoes_a_rotation_reaches_the_new_model_on_itself() -> None:
    result = measure()
    assert result.verification is not None
    results = result.verification.results
    assert results["new/old"].auc == pytest.approx(results["new/new"].auc, abs=1e-4)
    assert result.cosine_low == pytest.approx(1, abs=1e-5)
    assert result.unmapped_cosine is not None and abs(result.unmapped_cosine) < 0.5
    assert [gain.metric for gain in result.gains] == ["accuracy", "TAR at FAR 1e-1", "TAR at FAR 1e-2",
                                                      "TAR at FAR 1e-3", "AUC"]
    assert all(gain.first >= gain.second for gain in result.gains)
    assert result.gains[-1].first > result.gains[-1].second + 0.1
    assert result.notes == ()


def test_a_map_between_models_of_one_space_is_said_to_do_harm() -> None:
    assert "the map does harm" in measure(helps=False).describe()


def test_without_labels_nothing_is_verified() -> None:
    result = measure(labeled=False)
    assert (result.verification, result.gains, result.people) == (None, (), None)
    assert result.notes == ("nothing is verified: that needs labels, and held-out people with several images",)


def test_the_lines_and_the_fields_hold_the_figures() -> None:
    result = measure()
    lines = result.describe().splitlines()
    assert lines[0] == "map from old (aaaaaaaa), 6 numbers, to old (aaaaaaaa), 6"
    assert lines[1] == "ridge, regularization 0.1, fitted on 80 images, measured on 20 others of 15 people"
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert content["gains"][0]["metric"] == "accuracy"
    assert content["verification"]["results"].keys() == {"old/old", "new/new", "new/old"}


def test_pairs_are_of_the_kind_they_are_labeled_as() -> None:
    pairs = draw_pairs(LABELS)
    assert pairs is not None
    assert np.array_equal(LABELS[pairs.first] == LABELS[pairs.second], pairs.same)
    assert pairs.same.sum() == 15 * 6
    drawn = {tuple(pair) for pair in np.stack([pairs.first, pairs.second], axis=1).tolist()}
    assert len(drawn) == len(pairs)


@pytest.mark.parametrize("labels", [np.arange(100), np.zeros(100, np.int64), np.arange(20).repeat(2)])
def test_no_pairs_are_drawn_without_two_people_and_enough_genuine_pairs(labels: IntArray) -> None:
    assert draw_pairs(labels) is None
