from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facekd.data.feature_set import ArrayFeatures, FeatureSet
from facekd.data.megaface.noise_lists import NoiseList, NoiseLists, read_noise_lists
from facekd.errors import DataError
from facekd.evaluation.megaface.noise_handling import apply_noise_list
from facekd.evaluation.types import Float32Array, FloatArray, IntArray

LABELS = np.repeat(np.arange(6), 5)
DIMENSION = 32


def lists(probes: list[str], distractors: list[str]) -> NoiseLists:
    return NoiseLists(NoiseList(Path("facescrub_noises.txt"), tuple(probes), 1),
                 NoiseList(Path("megaface_noises.txt"), tuple(distractors), 3))


NOISE = lists(["2.png", "3.png", "11.png", "999.png"], ["1/2/4.jpg", "1/2/40.jpg", "1/2/40.jpg", "1/2/999.jpg"])
NOISY_PROBES, NOISY_DISTRACTORS = [2, 3, 11], [4, 40]


@pytest.fixture
def probes() -> ArrayFeatures:
    """30 probes of 6 people around their centers; those on the list are anywhere."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(6, DIMENSION))[LABELS] + rng.normal(size=(30, DIMENSION))
    features[NOISY_PROBES] = rng.normal(size=(3, DIMENSION))
    return ArrayFeatures(features.astype(np.float32), "probes.npy", LABELS, [f"p/{row}.png" for row in range(30)])


@pytest.fixture
def distractors() -> ArrayFeatures:
    """200 distractors; those on the list show the first person."""
    rng = np.random.default_rng(2)
    features = rng.normal(size=(200, DIMENSION))
    features[NOISY_DISTRACTORS] = np.random.default_rng(1).normal(size=(6, DIMENSION))[0]
    return ArrayFeatures(features.astype(np.float32), "distractors.npy", None, [f"1/2/{row}.jpg" for row in range(200)])


def unit(features: FeatureSet) -> Float32Array:
    return features.all_l2_normalized_rows()


def euclidean_ranks(probes: FloatArray, distractors: FloatArray, labels: IntArray) -> list[int]:
    """The number of distractors that are nearer to each probe, in Euclidean distance, than each of its mates."""
    ranks = []
    for probe in range(len(probes)):
        distances = np.sqrt(((distractors - probes[probe]) ** 2).sum(axis=1))
        for mate in np.flatnonzero(labels == labels[probe]):
            if mate != probe:
                ranks.append(int((distances <= np.sqrt(((probes[mate] - probes[probe]) ** 2).sum())).sum()))
    return ranks


def cosine_ranks(probes: Float32Array, distractors: Float32Array, labels: IntArray) -> list[int]:
    wide_probes, wide_distractors = probes.astype(np.float64), distractors.astype(np.float64)
    scores, mates = wide_probes @ wide_distractors.T, wide_probes @ wide_probes.T
    return [int((scores[a] >= mates[a, b]).sum()) for a, b in np.argwhere(labels[:, None] == labels) if a != b]


def test_raw_changes_nothing(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    filtered = apply_noise_list(probes, distractors, None, "raw")
    assert (filtered.probes, filtered.distractors) == (probes, distractors)
    assert (filtered.probe_rows.tolist(), len(filtered.distractor_rows)) == (list(range(30)), 200)


def test_strict_leaves_out_probes_and_distractors(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    filtered = apply_noise_list(probes, distractors, NOISE, "strict")
    probe_rows = [row for row in range(30) if row not in NOISY_PROBES]
    distractor_rows = [row for row in range(200) if row not in NOISY_DISTRACTORS]
    np.testing.assert_array_equal(unit(filtered.probes), unit(probes)[probe_rows])
    np.testing.assert_array_equal(unit(filtered.distractors), unit(distractors)[distractor_rows])
    assert filtered.probes.labels is not None
    assert filtered.probes.labels.tolist() == LABELS[probe_rows].tolist()
    assert filtered.probes.image_names == [f"p/{row}.png" for row in probe_rows]
    assert (filtered.probe_rows.tolist(), filtered.distractor_rows.tolist()) == (probe_rows, distractor_rows)


def test_compatible_takes_the_center_of_the_clean_images(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    replaced = unit(apply_noise_list(probes, distractors, NOISE, "compatible", seed=3).probes)
    clean_rows = [row for row in range(30) if row not in NOISY_PROBES]
    np.testing.assert_array_equal(replaced[clean_rows], unit(probes)[clean_rows])
    shifts = []
    for row, mates in ((2, [0, 1, 4]), (3, [0, 1, 4]), (11, [10, 12, 13, 14])):
        center = unit(probes)[mates].sum(axis=0, dtype=np.float64)
        assert np.linalg.norm(replaced[row]) == pytest.approx(1, abs=1e-6)
        # The length of center + shift is unknown: at the true one every element of the shift is below 0.001.
        lengths = np.linalg.norm(center) + np.linspace(-0.006, 0.006, 1201)
        shifts.append(min(float(np.abs(length * replaced[row] - center).max()) for length in lengths))
    assert min(shifts) > 1e-4 and max(shifts) < 1.01e-3
    assert not np.array_equal(replaced[2], replaced[3])


def test_compatible_leaves_out_distractors_only(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    filtered = apply_noise_list(probes, distractors, NOISE, "compatible")
    assert filtered.probe_rows.tolist() == list(range(30))
    assert (filtered.probes.labels is LABELS, filtered.probes.image_names) == (True, probes.image_names)
    assert sorted(set(range(200)) - set(filtered.distractor_rows.tolist())) == NOISY_DISTRACTORS


def test_compatible_follows_its_seed(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    first, again, other_seed = (
        unit(apply_noise_list(probes, distractors, NOISE, "compatible", seed).probes) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[2], other_seed[2])


def test_compatible_ranks_as_the_513th_dimension_does(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    filtered = apply_noise_list(probes, distractors, NOISE, "compatible")
    wide_probes, wide_distractors = (
        np.pad(unit(features).astype(np.float64), ((0, 0), (0, 1))) for features in (filtered.probes, distractors)
    )
    wide_distractors[NOISY_DISTRACTORS, -1] = 100.0
    euclidean = euclidean_ranks(wide_probes, wide_distractors, LABELS)
    assert euclidean == cosine_ranks(unit(filtered.probes), unit(filtered.distractors), LABELS)
    assert euclidean != cosine_ranks(unit(filtered.probes), unit(distractors), LABELS)


def test_compatible_is_optimistic(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    rows = unit(apply_noise_list(probes, distractors, NOISE, "compatible").probes)
    mates = [10, 12, 13, 14]
    among_mates = (rows[mates] @ rows[mates].T)[~np.eye(4, dtype=bool)]
    assert (rows[mates] @ rows[11]).mean() > among_mates.mean() + 0.2
    assert rows[2] @ rows[3] > 0.999


def test_notes_hold_the_counts(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    assert apply_noise_list(probes, distractors, NOISE, "compatible").notes == (
        "compatible: 3 of 30 probes (2 people) replaced by the center of their person's other images, "
        "2 of 200 distractors left out",
        "facescrub_noises.txt: 3 of its 4 lines name 3 of the 30 probes",
        "megaface_noises.txt: 3 of its 4 lines name 2 of the 200 distractors",
    )


def test_strict_notes_people_without_images_or_mates(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    noise = lists([f"{row}.png" for row in (0, 1, 2, 3, 4, 5, 6, 7, 8)], ["1/2/4.jpg"])
    assert apply_noise_list(probes, distractors, noise, "strict").notes[0] == (
        "strict: 9 of 30 probes (2 people) left out (people left without an image: 1; with one image and so without a "
        "mate: 1), 1 of 200 distractors left out"
    )


def test_compatible_needs_a_clean_image(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    noise = lists([f"{row}.png" for row in range(5, 10)], ["1/2/4.jpg"])
    with pytest.raises(DataError, match=r"row 5 \(p/5.png\) is on the noise list .*: there are none; .*strict"):
        apply_noise_list(probes, distractors, noise, "compatible")


def test_compatible_needs_a_center(distractors: ArrayFeatures) -> None:
    features = np.zeros((3, DIMENSION), np.float32)
    features[:, 0] = (1, -1, 1)
    probes = ArrayFeatures(features, "probes.npy", np.zeros(3, np.int64), ["p/0.png", "p/1.png", "p/2.png"])
    with pytest.raises(DataError, match="they cancel out"):
        apply_noise_list(probes, distractors, NOISE, "compatible")


@pytest.mark.parametrize("mode", ["compatible", "strict"])
def test_nothing_is_left(probes: ArrayFeatures, distractors: ArrayFeatures, mode: str) -> None:
    noise = lists(["2.png"], [f"1/2/{row}.jpg" for row in range(200)])
    with pytest.raises(DataError, match=r"all 200 distractors of distractors\.npy are on the noise list"):
        apply_noise_list(probes, distractors, noise, mode)


def test_unknown_mode(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    with pytest.raises(DataError, match="noise mode 'stricter' is not known; did you mean 'strict'"):
        apply_noise_list(probes, distractors, NOISE, "stricter")


def test_without_lists(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    with pytest.raises(DataError, match="noise mode 'strict' needs the noise lists"):
        apply_noise_list(probes, distractors, None, "strict")


def test_without_labels(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    with pytest.raises(DataError, match=r"probes\.npy has no labels"):
        unlabeled = ArrayFeatures(unit(probes), "probes.npy", None, probes.image_names)
        apply_noise_list(unlabeled, distractors, NOISE, "compatible")


def test_without_names(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    with pytest.raises(DataError, match=r"distractors\.npy does not name its images"):
        apply_noise_list(probes, ArrayFeatures(unit(distractors), "distractors.npy"), NOISE, "strict")


def test_published_lists(shared: Path) -> None:
    folder = shared / "megaface" / "templatelists"
    listed = json.loads((folder / "facescrub_features_list.json").read_text())
    labels = np.unique(listed["id"], return_inverse=True)[1]
    names = json.loads((folder / "megaface_features_list.json_100000_1").read_text())["path"]
    rng = np.random.default_rng(0)
    probes = ArrayFeatures(rng.normal(size=(3530, 4)), "probes", labels, listed["path"])
    distractors = ArrayFeatures(rng.normal(size=(100_000, 4)), "distractors", None, names)
    noise = read_noise_lists(shared / "megaface" / "noise")
    strict, compatible = (apply_noise_list(probes, distractors, noise, mode) for mode in ("strict", "compatible"))
    assert (len(strict.probes), len(strict.distractors)) == (3506, 99_920)
    assert (len(compatible.probes), len(compatible.distractors)) == (3530, 99_920)
