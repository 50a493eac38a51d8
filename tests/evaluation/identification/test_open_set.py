from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score  # type: ignore[import-untyped]

from facekd.data.feature_set import ArrayFeatures
from facekd.errors import DataError
from facekd.evaluation.identification.gallery import GalleryScores, rank_against_gallery
from facekd.evaluation.identification.open_set import identify_open_set, open_set_result
from facekd.evaluation.identification.open_set_result import OpenSetResult

PEOPLE = 60


def faces(seed: int = 0, noise: float = 0.8) -> tuple[ArrayFeatures, ArrayFeatures]:
    """200 probes of 60 people; people 0 to 39 are in the gallery, a row each."""
    generator = np.random.default_rng(seed)
    centers = generator.normal(size=(PEOPLE, 8))
    labels = generator.integers(0, PEOPLE, 200)
    probes = centers[labels] + noise * generator.normal(size=(200, 8))
    gallery = centers[:40] + noise * generator.normal(size=(40, 8))
    return (ArrayFeatures(probes.astype(np.float32), "probes", labels),
            ArrayFeatures(gallery.astype(np.float32), "gallery", np.arange(40)))


def test_ranks_are_top_k_accuracies() -> None:
    probes, gallery = faces()
    result = identify_open_set(probes, gallery, resamples=2)
    assert probes.labels is not None
    mated = probes.labels < 40
    probe_rows, gallery_rows = (rows.all_l2_normalized_rows().astype(np.float64) for rows in (probes, gallery))
    scores = (probe_rows @ gallery_rows.T)[mated]
    for rank, rate in result.rank.items():
        assert rate == pytest.approx(top_k_accuracy_score(probes.labels[mated], scores, k=rank, labels=np.arange(40)))
    assert result.cmc[0] == result.rank[1] and result.cmc[9] == result.rank[10] and result.cmc[39:] == (1.0,) * 61


def test_tpir_is_the_best_that_any_threshold_gives() -> None:
    probes, gallery = faces()
    scores = rank_against_gallery(probes, gallery)
    result = identify_open_set(probes, gallery, ("0.02", "0.2"), resamples=2)
    for fpir, tpir in result.tpir.items():
        best = 0.0
        for threshold in np.concatenate([scores.non_mate_score, scores.mate_score[scores.mated]]):
            if (scores.non_mate_score[~scores.mated] > threshold).mean() <= float(fpir):
                best = max(best, float(((scores.rank == 1) & (scores.mate_score > threshold))[scores.mated].mean()))
        assert tpir == pytest.approx(best)


def test_the_threshold_gives_the_rates() -> None:
    probes, gallery = faces(1)
    scores = rank_against_gallery(probes, gallery)
    result = identify_open_set(probes, gallery, ("0.1",), resamples=2)
    threshold = result.thresholds["0.1"]
    assert threshold is not None
    accepted = (scores.rank == 1) & (scores.mate_score > threshold)
    assert accepted[scores.mated].mean() == pytest.approx(result.tpir["0.1"])
    assert (scores.non_mate_score[~scores.mated] > threshold).sum() == int(0.1 * result.unmated)


def test_probes_are_counted() -> None:
    result = identify_open_set(*faces(), resamples=2)
    labels = faces()[0].labels
    assert labels is not None
    assert (result.mated, result.unmated) == (int((labels < 40).sum()), int((labels >= 40).sum()))
    assert (result.identities, result.gallery_identities, result.galleries) == (len(set(labels.tolist())), 40, 1)


def two_galleries(seed: int = 0) -> list[GalleryScores]:
    probes, gallery = faces(seed)
    rows, labels = gallery.all_l2_normalized_rows(), np.arange(40)
    return [rank_against_gallery(probes, ArrayFeatures(rows[people], "g", labels[people]))
            for people in (slice(0, 15), slice(15, 40))]


def test_several_galleries_give_the_mean_of_their_rates() -> None:
    galleries = two_galleries()
    first, second = (open_set_result([gallery], ("0.1",), 2) for gallery in galleries)
    mean = open_set_result(galleries, ("0.1",), 2)
    for rank in mean.rank:
        assert mean.rank[rank] == pytest.approx((first.rank[rank] + second.rank[rank]) / 2)
    assert first.tpir["0.1"] is not None and second.tpir["0.1"] is not None
    assert mean.tpir["0.1"] == pytest.approx((first.tpir["0.1"] + second.tpir["0.1"]) / 2)
    assert mean.thresholds == {"0.1": None}
    assert (mean.mated, mean.gallery_identities, mean.galleries) == (first.mated + second.mated, 40, 2)


def test_the_interval_of_a_mean_is_narrower_than_that_of_a_gallery() -> None:
    galleries = two_galleries()

    def width(result: OpenSetResult) -> float:
        return result.rank_interval[1][1] - result.rank_interval[1][0]

    widths = [width(open_set_result([gallery], (), 300)) for gallery in galleries]
    assert width(open_set_result(galleries, (), 300)) < max(widths)


def test_intervals_resample_people_not_probes() -> None:
    """Twenty copies of each probe are no more evidence than one."""
    probes, gallery = faces(3)
    rows = np.repeat(probes.all_l2_normalized_rows(), 20, axis=0)
    once = identify_open_set(probes, gallery, ("0.1",), 400)
    assert probes.labels is not None
    copied = identify_open_set(ArrayFeatures(rows, "copies", np.repeat(probes.labels, 20)), gallery, ("0.1",), 400)
    assert copied.rank_interval[1] == pytest.approx(once.rank_interval[1])
    assert copied.tpir_interval["0.1"] == pytest.approx(once.tpir_interval["0.1"], abs=0.02)


def test_the_interval_covers_the_rate_of_all_people_in_19_of_20_samples() -> None:
    results = [identify_open_set(*faces(seed), ("0.1",), 200, seed) for seed in range(60)]
    truth = np.mean([result.rank[1] for result in results])
    assert sum(result.rank_interval[1][0] <= truth <= result.rank_interval[1][1] for result in results) >= 50


def test_too_few_probes_without_a_mate_are_noted() -> None:
    result = identify_open_set(*faces(), ("1e-3",), resamples=2)
    assert result.tpir == {"1e-3": None}
    assert result.notes[0].startswith("TPIR at FPIR 1e-3 is not given")


def test_probes_that_are_all_strangers_are_refused() -> None:
    probes, gallery = faces()
    assert gallery.labels is not None
    gallery.labels = gallery.labels + 1000
    with pytest.raises(DataError, match="none of the 200 probes shows a person of the gallery"):
        identify_open_set(probes, gallery)
