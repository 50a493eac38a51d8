from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest

from facekd.data.face_set import FaceSet
from facekd.data.feature_set import ArrayFeatures, Features
from facekd.data.opening import open_faces
from facekd.errors import DataError
from facekd.evaluation.embedding.embed import embed_images
from facekd.evaluation.identification import identify as identification
from facekd.evaluation.identification.result import IdentificationResult
from facekd.evaluation.types import IntArray
from tests.evaluation.toy import MemoryFaces, PixelEmbedder, unit_rows

Faces = tuple[Features, IntArray, Features]
FARS = ("1e-1", "1e-2", "1e-3", "1e-6")


def identify(probes: Features, labels: IntArray, distractors: Features, fars: Sequence[str] = identification.FARS,
             resamples: int = 5) -> IdentificationResult:
    result = identification.identify(ArrayFeatures(probes, "probes", labels),
                                     ArrayFeatures(distractors, "distractors"), fars, resamples=resamples)
    assert result is not None
    return result


def random_faces(seed: int = 0) -> Faces:
    """People in clusters, one of them with a single probe, in no order."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(11) * 3, [5, 2, 9, 1, 4, 4, 6, 3, 7, 2, 5]))
    centers = generator.normal(size=(31, 16))
    probes = centers[labels] + generator.normal(size=(len(labels), 16))
    distractors = generator.normal(size=(150, 16))
    return unit_rows(probes), labels, unit_rows(distractors)


def tied_faces(seed: int = 0) -> Faces:
    """Rows of four halves with signs: every score is a multiple of 1/2, exact in any arithmetic, and ties abound."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(8), 4)
    probes = generator.choice([-0.5, 0.5], (32, 4)).astype(np.float32)
    return probes, labels, generator.choice([-0.5, 0.5], (30, 4)).astype(np.float32)


def brute(probes: Features, labels: IntArray, distractors: Features) -> tuple[list[float], dict[str, float]]:
    """CMC and TAR by the words of the protocol, in float64, pair by pair."""
    wide, wide_distractors = probes.astype(np.float64), distractors.astype(np.float64)
    ranks, genuine = [], []
    for name in np.unique(labels):
        members = np.flatnonzero(labels == name).tolist()
        for probe, mate in permutations(members, 2):
            ranks.append(1 + sum(wide[probe] @ other >= wide[probe] @ wide[mate] for other in wide_distractors))
        genuine += [wide[a] @ wide[b] for a, b in combinations(members, 2)]
    impostor = np.array([probe @ other for probe in wide for other in wide_distractors])
    tar = {}
    for far in FARS:
        possible = [t for t in [-2.0, *impostor.tolist()] if (impostor > t).sum() <= float(far) * len(impostor) + 1e-9]
        tar[far] = max(float(np.mean(np.array(genuine) > t)) for t in possible)
    return [sum(rank <= r for rank in ranks) / len(ranks) for r in range(1, 101)], tar


@pytest.fixture(scope="module", params=[random_faces, tied_faces], ids=["clusters", "ties"])
def case(request: pytest.FixtureRequest) -> tuple[IdentificationResult, list[float], dict[str, float]]:
    probes, labels, distractors = request.param()
    cmc, tar = brute(probes, labels, distractors)
    return identify(probes, labels, distractors, FARS, resamples=20), cmc, tar


Case = tuple[IdentificationResult, list[float], dict[str, float]]


def test_cmc_equals_brute_force(case: Case) -> None:
    result, cmc, _ = case
    assert result.cmc == pytest.approx(cmc, abs=1e-12)
    assert result.rank1 == result.cmc[0]
    assert 0 < result.rank1 < 1


def test_tar_equals_brute_force(case: Case) -> None:
    result, _, tar = case
    assert [result.tar[far] for far in FARS[:2]] == pytest.approx([tar[far] for far in FARS[:2]], abs=1e-12)


def test_a_far_below_one_impostor_pair_is_none_with_a_reason(case: Case) -> None:
    result, _, _ = case
    assert result.tar["1e-6"] is None
    assert result.tar_interval["1e-6"] is None
    assert any("FAR 1e-6" in note and "1,000,000 impostor pairs" in note for note in result.notes)


def test_counts() -> None:
    probes, labels, distractors = random_faces()
    result = identify(probes, labels, distractors, resamples=5)
    sizes = [5, 2, 9, 1, 4, 4, 6, 3, 7, 2, 5]
    assert result.pairs == sum(n * (n - 1) for n in sizes)
    assert (result.probes, result.identities, result.distractors) == (48, 11, 150)
    assert result.notes[0].startswith("1 of 11 people have one probe")


def test_a_distractor_equal_to_the_mate_is_ahead() -> None:
    probes = np.array([[1, 0], [0, 1]], np.float32)
    assert identify(probes, np.zeros(2, np.int64), np.array([[0, -1]], np.float32), resamples=2).rank1 == 0.5
    assert identify(probes, np.zeros(2, np.int64), np.array([[-1, 0]], np.float32), resamples=2).rank1 == 0.5
    assert identify(probes, np.zeros(2, np.int64), -probes.mean(axis=0, keepdims=True), resamples=2).rank1 == 1.0


def test_features_of_any_length_are_normalized() -> None:
    probes, labels, distractors = random_faces()
    scaled = identify(probes * 7, labels, distractors * np.float32(0.2), resamples=5)
    assert scaled.cmc == identify(probes, labels, distractors, resamples=5).cmc


def test_intervals_equal_a_plain_bootstrap_over_people() -> None:
    probes, labels, distractors = random_faces(3)
    keep = labels != 9  # the person with one probe
    probes, labels = probes[keep], labels[keep]
    generator = np.random.default_rng(1)
    rank1, tar = [], []
    for _ in range(300):
        drawn = generator.choice(np.unique(labels), len(np.unique(labels)))
        rows = [np.flatnonzero(labels == name) for name in drawn]
        names = np.repeat(np.arange(len(drawn)), [len(members) for members in rows])
        result = identify(probes[np.concatenate(rows)], names, distractors, ("1e-2",), resamples=1)
        rank1.append(result.rank1)
        tar.append(result.tar["1e-2"] or 0.0)
    result = identify(probes, labels, distractors, ("1e-2",), resamples=2000)
    assert result.rank1_interval == pytest.approx(np.quantile(rank1, [0.025, 0.975]), abs=0.03)
    assert result.tar_interval["1e-2"] == pytest.approx(np.quantile(tar, [0.025, 0.975]), abs=0.03)


@pytest.mark.parametrize("faces", [random_faces, tied_faces], ids=["clusters", "ties"])
def test_resamples_of_a_single_person_all_give_the_exact_figures(faces: Callable[[], Faces]) -> None:
    probes, labels, distractors = faces()
    result = identify(probes, np.zeros_like(labels), distractors, ("1e-1", "1e-2"), resamples=3)
    assert result.rank1_interval == (result.rank1, result.rank1)
    assert result.tar_interval == {far: (tar, tar) for far, tar in result.tar.items()}


def test_people_with_one_probe_each_are_refused() -> None:
    with pytest.raises(DataError, match="each of the 3 people has one probe"):
        identify(np.eye(3, dtype=np.float32), np.arange(3), np.eye(3, dtype=np.float32))


def test_features_of_two_models_are_refused() -> None:
    with pytest.raises(DataError, match="features of one model"):
        identify(np.eye(3, dtype=np.float32), np.zeros(3, np.int64), np.eye(4, dtype=np.float32))


def test_probes_without_labels_are_refused() -> None:
    both = ArrayFeatures(np.eye(3, dtype=np.float32), "these")
    with pytest.raises(DataError, match="these has no labels"):
        identification.identify(both, both)


def test_a_zero_distractor_is_refused() -> None:
    with pytest.raises(DataError, match="distractors: 1 of the rows 0 to 1 are zero"):
        identify(np.eye(2, dtype=np.float32), np.zeros(2, np.int64), np.array([[1, 0], [0, 0]], np.float32))


def test_the_curve_holds_the_exact_rates_and_rises(case: Case) -> None:
    result, _, _ = case
    curve = dict(zip(result.roc_far.tolist(), result.roc_tar.tolist(), strict=True))
    assert curve[0.01] == result.tar["1e-2"]
    assert (np.diff(result.roc_far) > 0).all()
    assert (np.diff(result.roc_tar) >= -1e-12).all()


def test_a_rate_that_would_fill_the_memory_is_none_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identification, "MAX_FALSE_ACCEPTS", 50)
    result = identify(*random_faces(), FARS, resamples=5)
    assert result.tar["1e-1"] is None
    assert any("FAR 1e-1 is not given: over 50" in note for note in result.notes)
    assert result.tar["1e-3"] == identify(*random_faces(), ("1e-3",)).tar["1e-3"]


def test_a_misleading_sample_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two sampled distractors are copies of a probe, so that the score floor is above nearly all scores."""
    probes, labels, distractors = random_faces()
    distractors[[0, -1]] = probes[0]
    monkeypatch.setattr(identification, "SAMPLED_DISTRACTORS", 2)
    monkeypatch.setattr(identification, "choose_thresholds", lambda mates, sample, share: (0.999, 0.2))
    result = identify(probes, labels, distractors, FARS)
    assert result.tar["1e-1"] is None
    assert any("FAR 1e-1 is not given: the 2 distractors that were sampled" in note for note in result.notes)
    assert result.cmc == pytest.approx(brute(probes, labels, distractors)[0], abs=1e-12)


def identify_faces(probes: FaceSet, distractors: FaceSet) -> IdentificationResult:
    probe_features, distractor_features = (
        ArrayFeatures(embed_images(PixelEmbedder(), faces), labels=faces.labels) for faces in (probes, distractors)
    )
    result = identification.identify(probe_features, distractor_features)
    assert result is not None
    return result


def test_megaface_finds_people_who_look_like_themselves() -> None:
    result = identify_faces(MemoryFaces(6, 4, seed=0), MemoryFaces(40, 1, seed=1))
    assert (result.rank1, result.pairs, result.distractors) == (1.0, 72, 40)


def test_megaface_is_at_chance_when_labels_mean_nothing() -> None:
    probes = MemoryFaces(60, 1, seed=0)
    probes.labels = probes.labels // 2
    probes.class_names = probes.class_names[:30]
    assert identify_faces(probes, MemoryFaces(40, 1, seed=1)).rank1 < 0.15


def test_pixels_on_real_probes_among_real_distractors(shared: Path) -> None:
    faces = shared / "faces"
    result = identify_faces(open_faces(faces / "cfp", labels=True), open_faces(faces / "distractors"))
    assert (result.probes, result.identities, result.pairs, result.distractors) == (5600, 400, 400 * 14 * 13, 4021)
    assert 0.01 < result.rank1 < 0.3
    assert result.tar["1e-6"] is not None


def test_probes_are_found_among_mates_and_distractors_of_another_model() -> None:
    probes, labels, distractors = random_faces()
    enrolled = unit_rows(probes + 0.3 * np.random.default_rng(1).normal(size=probes.shape))
    result = identification.identify(ArrayFeatures(probes, "p", labels), ArrayFeatures(distractors, "d"),
                                     enrolled=ArrayFeatures(enrolled, "e"), resamples=2)
    assert result is not None
    exact, mates, others = (rows.astype(np.float64) for rows in (probes, enrolled, distractors))
    ahead = [int((exact[a] @ others.T >= exact[a] @ mates[b]).sum())
             for a, b in zip(result.mates.probe.tolist(), result.mates.mate.tolist(), strict=True)]
    assert result.distractors_ahead.tolist() == ahead
