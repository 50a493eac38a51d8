from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.feature_set import ArrayFeatures
from facekd.data.megaface.noise_lists import Noise, NoiseList, read_noise
from facekd.errors import DataError
from facekd.evaluation.megaface.noise_handling import clean

LABELS = np.repeat(np.arange(6), 5)
DIMENSION = 32


def lists(probes: list[str], distractors: list[str]) -> Noise:
    return Noise(NoiseList(Path("facescrub_noises.txt"), tuple(probes), 1),
                 NoiseList(Path("megaface_noises.txt"), tuple(distractors), 3))


NOISE = lists(["2.png", "3.png", "11.png", "999.png"], ["1/2/4.jpg", "1/2/40.jpg", "1/2/40.jpg", "1/2/999.jpg"])
BAD_PROBES, BAD_DISTRACTORS = [2, 3, 11], [4, 40]


@pytest.fixture
def probes() -> ArrayFeatures:
    """30 probes of 6 people around their centres; those on the list are anywhere."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(6, DIMENSION))[LABELS] + rng.normal(size=(30, DIMENSION))
    features[BAD_PROBES] = rng.normal(size=(3, DIMENSION))
    return ArrayFeatures(features.astype(np.float32), "probes.npy", LABELS, [f"p/{row}.png" for row in range(30)])


@pytest.fixture
def distractors() -> ArrayFeatures:
    """200 distractors; those on the list show the first person."""
    rng = np.random.default_rng(2)
    features = rng.normal(size=(200, DIMENSION))
    features[BAD_DISTRACTORS] = np.random.default_rng(1).normal(size=(6, DIMENSION))[0]
    return ArrayFeatures(features.astype(np.float32), "distractors.npy", None, [f"1/2/{row}.jpg" for row in range(200)])


def ranks(probes: NDArray[np.float64], distractors: NDArray[np.float64], mine: NDArray[np.int64]) -> list[int]:
    """How many distractors are nearer to each probe, in Euclidean distance, than each of its mates."""
    found = []
    for probe in range(len(probes)):
        away = np.sqrt(((distractors - probes[probe]) ** 2).sum(axis=1))
        for mate in np.flatnonzero(mine == mine[probe]):
            if mate != probe:
                found.append(int((away <= np.sqrt(((probes[mate] - probes[probe]) ** 2).sum())).sum()))
    return found


def cosine_ranks(probes: NDArray[np.float64], distractors: NDArray[np.float64], mine: NDArray[np.int64]) -> list[int]:
    scores, mates = probes @ distractors.T, probes @ probes.T
    return [int((scores[a] >= mates[a, b]).sum()) for a, b in np.argwhere(mine[:, None] == mine) if a != b]


def test_raw_changes_nothing(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    cleaned = clean(probes, distractors, None, "raw")
    assert (cleaned.probes, cleaned.distractors) == (probes, distractors)
    assert (cleaned.probe_rows.tolist(), len(cleaned.distractor_rows)) == (list(range(30)), 200)


def test_strict_leaves_out_probes_and_distractors(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    cleaned = clean(probes, distractors, NOISE, "strict")
    kept = [row for row in range(30) if row not in BAD_PROBES]
    left = [row for row in range(200) if row not in BAD_DISTRACTORS]
    np.testing.assert_array_equal(cleaned.probes.all(), probes.all()[kept])
    np.testing.assert_array_equal(cleaned.distractors.all(), distractors.all()[left])
    assert cleaned.probes.labels is not None
    assert cleaned.probes.labels.tolist() == LABELS[kept].tolist()
    assert cleaned.probes.names == [f"p/{row}.png" for row in kept]
    assert (cleaned.probe_rows.tolist(), cleaned.distractor_rows.tolist()) == (kept, left)


def test_compatible_takes_the_centre_of_the_clean_images(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    cleaned = clean(probes, distractors, NOISE, "compatible", seed=3).probes.all()
    unit = probes.all().astype(np.float64)
    clean_rows = [row for row in range(30) if row not in BAD_PROBES]
    np.testing.assert_array_equal(cleaned[clean_rows], probes.all()[clean_rows])
    shifts = []
    for row, mates in ((2, [0, 1, 4]), (3, [0, 1, 4]), (11, [10, 12, 13, 14])):
        centre = unit[mates].sum(axis=0)
        assert np.linalg.norm(cleaned[row]) == pytest.approx(1, abs=1e-6)
        # The length of centre + shift is unknown: at the true one every element of the shift is below 0.001.
        lengths = np.linalg.norm(centre) + np.linspace(-0.006, 0.006, 1201)
        shifts.append(min(float(np.abs(length * cleaned[row] - centre).max()) for length in lengths))
    assert min(shifts) > 1e-4 and max(shifts) < 1.01e-3
    assert not np.array_equal(cleaned[2], cleaned[3])


def test_compatible_leaves_out_distractors_only(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    cleaned = clean(probes, distractors, NOISE, "compatible")
    assert cleaned.probe_rows.tolist() == list(range(30))
    assert (cleaned.probes.labels is LABELS, cleaned.probes.names) == (True, probes.names)
    assert sorted(set(range(200)) - set(cleaned.distractor_rows.tolist())) == BAD_DISTRACTORS


def test_compatible_follows_its_seed(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    one, same, other = (clean(probes, distractors, NOISE, "compatible", seed).probes.all() for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one[2], other[2])


def test_compatible_ranks_as_the_513th_dimension_does(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    cleaned = clean(probes, distractors, NOISE, "compatible")
    wide_probes = np.pad(cleaned.probes.all().astype(np.float64), ((0, 0), (0, 1)))
    wide = np.pad(distractors.all().astype(np.float64), ((0, 0), (0, 1)))
    wide[BAD_DISTRACTORS, -1] = 100.0
    euclidean = ranks(wide_probes, wide, LABELS)
    narrow = cosine_ranks(cleaned.probes.all().astype(np.float64), cleaned.distractors.all().astype(np.float64), LABELS)
    assert euclidean == narrow
    assert narrow != cosine_ranks(cleaned.probes.all().astype(np.float64), distractors.all().astype(np.float64), LABELS)


def test_compatible_is_optimistic(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    scores = clean(probes, distractors, NOISE, "compatible").probes.all()
    mates = [10, 12, 13, 14]
    among_mates = (scores[mates] @ scores[mates].T)[~np.eye(4, dtype=bool)]
    assert (scores[mates] @ scores[11]).mean() > among_mates.mean() + 0.2
    assert scores[2] @ scores[3] > 0.999


def test_notes_hold_the_counts(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    assert clean(probes, distractors, NOISE, "compatible").notes == (
        "compatible: 3 of 30 probes (2 people) replaced by the centre of their person's other images, "
        "2 of 200 distractors left out",
        "facescrub_noises.txt: 3 of its 4 lines name 3 of the 30 probes",
        "megaface_noises.txt: 3 of its 4 lines name 2 of the 200 distractors",
    )


def test_strict_notes_people_without_images_or_mates(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    noise = lists([f"{row}.png" for row in (0, 1, 2, 3, 4, 5, 6, 7, 8)], ["1/2/4.jpg"])
    assert clean(probes, distractors, noise, "strict").notes[0] == (
        "strict: 9 of 30 probes (2 people) left out (people left without an image: 1; with one image and so without a "
        "mate: 1), 1 of 200 distractors left out"
    )


def test_compatible_needs_a_clean_image(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    noise = lists([f"{row}.png" for row in range(5, 10)], ["1/2/4.jpg"])
    with pytest.raises(DataError, match=r"row 5 \(p/5.png\) is on the noise list .*: there are none; .*strict"):
        clean(probes, distractors, noise, "compatible")


def test_compatible_needs_a_centre(distractors: ArrayFeatures) -> None:
    features = np.zeros((3, DIMENSION), np.float32)
    features[:, 0] = (1, -1, 1)
    probes = ArrayFeatures(features, "probes.npy", np.zeros(3, np.int64), ["p/0.png", "p/1.png", "p/2.png"])
    with pytest.raises(DataError, match="they cancel out"):
        clean(probes, distractors, NOISE, "compatible")


@pytest.mark.parametrize("way", ["compatible", "strict"])
def test_nothing_is_left(probes: ArrayFeatures, distractors: ArrayFeatures, way: str) -> None:
    noise = lists(["2.png"], [f"1/2/{row}.jpg" for row in range(200)])
    with pytest.raises(DataError, match=r"all 200 distractors of distractors\.npy are on the noise list"):
        clean(probes, distractors, noise, way)


def test_unknown_way(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    with pytest.raises(DataError, match="cleaning 'stricter' is not known; did you mean 'strict'"):
        clean(probes, distractors, NOISE, "stricter")


def test_without_lists(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    with pytest.raises(DataError, match="cleaning 'strict' needs the noise lists"):
        clean(probes, distractors, None, "strict")


def test_without_labels(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    with pytest.raises(DataError, match=r"probes\.npy does not say who"):
        clean(ArrayFeatures(probes.all(), "probes.npy", None, probes.names), distractors, NOISE, "compatible")


def test_without_names(probes: ArrayFeatures, distractors: ArrayFeatures) -> None:
    with pytest.raises(DataError, match=r"distractors\.npy does not name its images"):
        clean(probes, ArrayFeatures(distractors.all(), "distractors.npy"), NOISE, "strict")


def test_published_lists(shared: Path) -> None:
    folder = shared / "megaface" / "templatelists"
    listed = json.loads((folder / "facescrub_features_list.json").read_text())
    labels = np.unique(listed["id"], return_inverse=True)[1]
    names = json.loads((folder / "megaface_features_list.json_100000_1").read_text())["path"]
    rng = np.random.default_rng(0)
    probes = ArrayFeatures(rng.normal(size=(3530, 4)), "probes", labels, listed["path"])
    distractors = ArrayFeatures(rng.normal(size=(100_000, 4)), "distractors", None, names)
    noise = read_noise(shared / "megaface" / "noise")
    strict, compatible = (clean(probes, distractors, noise, way) for way in ("strict", "compatible"))
    assert (len(strict.probes), len(strict.distractors)) == (3506, 99_920)
    assert (len(compatible.probes), len(compatible.distractors)) == (3530, 99_920)
