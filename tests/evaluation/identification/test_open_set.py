from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score  # type: ignore[import-untyped]

from facekd.data.feature_set import ArrayFeatures
from facekd.errors import DataError
from facekd.evaluation.identification.gallery import Searched, compare
from facekd.evaluation.identification.open_set import SearchResult, search, summarise

PEOPLE = 60


def faces(seed: int = 0, noise: float = 0.8) -> tuple[ArrayFeatures, ArrayFeatures]:
    """200 probes of 60 people; people 0 to 39 are in the gallery, a row each."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(PEOPLE, 8))
    labels = generator.integers(0, PEOPLE, 200)
    probes = centres[labels] + noise * generator.normal(size=(200, 8))
    gallery = centres[:40] + noise * generator.normal(size=(40, 8))
    return (ArrayFeatures(probes.astype(np.float32), "probes", labels),
            ArrayFeatures(gallery.astype(np.float32), "gallery", np.arange(40)))


def test_ranks_are_top_k_accuracies() -> None:
    probes, gallery = faces()
    result = search(probes, gallery, resamples=2)
    assert probes.labels is not None
    mated = probes.labels < 40
    scores = (probes.all().astype(np.float64) @ gallery.all().astype(np.float64).T)[mated]
    for rank, rate in result.rank.items():
        assert rate == pytest.approx(top_k_accuracy_score(probes.labels[mated], scores, k=rank, labels=np.arange(40)))
    assert result.cmc[0] == result.rank[1] and result.cmc[9] == result.rank[10] and result.cmc[39:] == (1.0,) * 61


def test_tpir_is_the_best_that_any_threshold_gives() -> None:
    probes, gallery = faces()
    found = compare(probes, gallery)
    result = search(probes, gallery, ("0.02", "0.2"), resamples=2)
    for fpir, tpir in result.tpir.items():
        best = 0.0
        for threshold in np.concatenate([found.highest, found.mate[found.mated]]):
            if (found.highest[~found.mated] > threshold).mean() <= float(fpir):
                best = max(best, float(((found.rank == 1) & (found.mate > threshold))[found.mated].mean()))
        assert tpir == pytest.approx(best)


def test_the_threshold_gives_the_rates() -> None:
    probes, gallery = faces(1)
    found, result = compare(probes, gallery), search(probes, gallery, ("0.1",), resamples=2)
    threshold = result.thresholds["0.1"]
    assert threshold is not None
    accepted = (found.rank == 1) & (found.mate > threshold)
    assert accepted[found.mated].mean() == pytest.approx(result.tpir["0.1"])
    assert (found.highest[~found.mated] > threshold).sum() == int(0.1 * result.unmated)


def test_probes_are_counted() -> None:
    result = search(*faces(), resamples=2)
    labels = faces()[0].labels
    assert labels is not None
    assert (result.mated, result.unmated) == (int((labels < 40).sum()), int((labels >= 40).sum()))
    assert (result.people, result.gallery, result.galleries) == (len(set(labels.tolist())), 40, 1)
    assert f"{result.mated} probes with a mate, {result.unmated} without, 40 people" in result.describe()
    assert json.loads(json.dumps(result.to_dict()))["rank"]["5"] == result.rank[5]


def two_galleries(seed: int = 0) -> list[Searched]:
    probes, gallery = faces(seed)
    rows, labels = gallery.all(), np.arange(40)
    return [compare(probes, ArrayFeatures(rows[own], "g", labels[own])) for own in (slice(0, 15), slice(15, 40))]


def test_several_galleries_give_the_mean_of_their_rates() -> None:
    both = two_galleries()
    one, other = (summarise([gallery], ("0.1",), 2) for gallery in both)
    mean = summarise(both, ("0.1",), 2)
    for rank in mean.rank:
        assert mean.rank[rank] == pytest.approx((one.rank[rank] + other.rank[rank]) / 2)
    assert one.tpir["0.1"] is not None and other.tpir["0.1"] is not None
    assert mean.tpir["0.1"] == pytest.approx((one.tpir["0.1"] + other.tpir["0.1"]) / 2)
    assert mean.thresholds == {"0.1": None}
    assert (mean.mated, mean.gallery, mean.galleries) == (one.mated + other.mated, 40, 2)


def test_the_interval_of_a_mean_is_narrower_than_that_of_a_gallery() -> None:
    both = two_galleries()

    def width(result: SearchResult) -> float:
        return result.rank_interval[1][1] - result.rank_interval[1][0]

    widths = [width(summarise([gallery], (), 300)) for gallery in both]
    assert width(summarise(both, (), 300)) < max(widths)


def test_intervals_resample_people_not_probes() -> None:
    """Twenty copies of each probe are no more evidence than one."""
    probes, gallery = faces(3)
    rows = np.repeat(probes.all(), 20, axis=0)
    once = search(probes, gallery, ("0.1",), 400)
    assert probes.labels is not None
    copied = search(ArrayFeatures(rows, "copies", np.repeat(probes.labels, 20)), gallery, ("0.1",), 400)
    assert copied.rank_interval[1] == pytest.approx(once.rank_interval[1])
    assert copied.tpir_interval["0.1"] == pytest.approx(once.tpir_interval["0.1"], abs=0.02)


def test_the_interval_covers_the_rate_of_all_people_in_19_of_20_samples() -> None:
    results = [search(*faces(seed), ("0.1",), 200, seed) for seed in range(60)]
    truth = np.mean([result.rank[1] for result in results])
    assert sum(result.rank_interval[1][0] <= truth <= result.rank_interval[1][1] for result in results) >= 50


def test_too_few_probes_without_a_mate_are_said() -> None:
    result = search(*faces(), ("1e-3",), resamples=2)
    assert result.tpir == {"1e-3": None}
    assert result.notes[0].startswith("TPIR at FPIR 1e-3 is not given")


def test_probes_that_are_all_strangers_are_refused() -> None:
    probes, gallery = faces()
    assert gallery.labels is not None
    gallery.labels = gallery.labels + 1000
    with pytest.raises(DataError, match="none of the 200 probes shows a person of the gallery"):
        search(probes, gallery)
