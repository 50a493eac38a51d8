"""Identification across models, against the results of each model alone and a brute-force count."""

from __future__ import annotations

import numpy as np
import pytest

from facekd.data.feature_set import ArrayFeatures
from facekd.evaluation.cross_model.identification import identify_across_models
from facekd.evaluation.cross_model.result import CrossModelResult
from facekd.evaluation.identification.open_set import identify_open_set
from facekd.evaluation.identification.open_set_result import OpenSetResult
from facekd.evaluation.types import Float32Array
from tests.evaluation.toy import unit_rows

ENROLLED = 20


def rows() -> dict[str, Float32Array]:
    """Probes of 40 people, and one image each of 20 of them, by an old model and by a noisier new one."""
    rng = np.random.default_rng(0)
    people = rng.normal(size=(40, 6))
    probes = people.repeat(2, axis=0) + 0.5 * rng.normal(size=(80, 6))
    gallery = people[:ENROLLED] + 0.5 * rng.normal(size=(ENROLLED, 6))
    return {"old probes": unit_rows(probes), "old gallery": unit_rows(gallery),
            "new probes": unit_rows(probes + 0.6 * rng.normal(size=probes.shape)),
            "new gallery": unit_rows(gallery + 0.6 * rng.normal(size=gallery.shape))}


def sets() -> dict[str, ArrayFeatures]:
    labels = {"probes": np.arange(40).repeat(2), "gallery": np.arange(ENROLLED)}
    return {name: ArrayFeatures(values, name, labels[name.split()[1]]) for name, values in rows().items()}


@pytest.fixture(scope="module")
def measured() -> CrossModelResult[OpenSetResult]:
    features = sets()
    return identify_across_models(
        (features["old probes"], features["new probes"]), (features["old gallery"], features["new gallery"]),
        names=("o", "n"), fpirs=("1e-1",), resamples=50)


@pytest.mark.parametrize(("combination", "probes", "gallery"), [
    ("old/old", "old probes", "old gallery"), ("new/new", "new probes", "new gallery"),
    ("new/old", "new probes", "old gallery"),
])
def test_each_combination_is_an_identification(
    measured: CrossModelResult[OpenSetResult], combination: str, probes: str, gallery: str
) -> None:
    alone = identify_open_set(sets()[probes], sets()[gallery], ("1e-1",), 50)
    assert measured.results[combination].to_dict() == alone.to_dict()


def test_the_differences_are_of_the_figures_of_the_table(measured: CrossModelResult[OpenSetResult]) -> None:
    for other, differences in measured.differences.items():
        assert [d.metric for d in differences] == ["rank-1", "rank-5", "rank-10", "TPIR at FPIR 1e-1"]
        for difference in differences:
            first, second = (measured.results[name].figures()[difference.metric][0] for name in ("new/old", other))
            assert (difference.first, difference.second) == pytest.approx((first, second))
            assert difference.interval[0] <= difference.interval[1]


def test_the_old_threshold_is_applied_to_new_probes(measured: CrossModelResult[OpenSetResult]) -> None:
    kept = measured.kept_thresholds[1]
    scores = rows()["new probes"].astype(float) @ rows()["old gallery"].astype(float).T
    person = np.arange(40).repeat(2)
    found = [scores[row].argmax() == person[row] and scores[row].max() > kept.threshold for row in range(40)]
    assert kept.combination == "new/old"
    assert kept.true_rate == pytest.approx(np.mean(found))
    assert kept.false_rate == pytest.approx((scores[40:].max(axis=1) > kept.threshold).mean())


def test_a_converted_gallery_is_searched_in_place_of_the_old_one() -> None:
    features = sets()
    converted = ArrayFeatures(rows()["new gallery"], "converted", np.arange(ENROLLED))
    result = identify_across_models(
        (features["old probes"], features["new probes"]), (features["old gallery"], features["new gallery"]),
        names=("o", "n"), converted=converted, fpirs=("1e-1",), resamples=5).results
    assert result["new/old"].to_dict() == result["new/new"].to_dict()
