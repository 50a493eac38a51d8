from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekd.errors import DataError
from facekd.evaluation.megaface.result_files import (
    algorithm_name,
    result_path,
    sparse_ranks,
    write_cmc,
    write_matches,
)
from facekd.evaluation.types import FloatArray, IntArray

DISTRACTORS, PROBES = 10_000, 300
IMPOSTORS = DISTRACTORS * PROBES
Scores = tuple[FloatArray, FloatArray]


def nearest(curve: list[list[float]], wanted: float) -> float:
    """The value that a plotting script reads: that of the nearest point."""
    return float(min(zip(*curve, strict=True), key=lambda point: abs(point[0] - wanted))[1])


def first_above(curve: list[list[float]], wanted: float) -> float:
    """The value that another script reads: that of the first point beyond."""
    return float(next(value for point, value in zip(*curve, strict=True) if point > wanted))


@pytest.fixture(scope="module")
def ranks() -> IntArray:
    rng = np.random.default_rng(0)
    return np.minimum(rng.pareto(0.4, 5000) * 0.3, DISTRACTORS).astype(np.int64)


@pytest.fixture(scope="module")
def scores() -> Scores:
    """Genuine and impostor scores."""
    rng = np.random.default_rng(1)
    return rng.normal(4.2, 1, 2000), rng.normal(0, 1, IMPOSTORS)


def roc(genuine: FloatArray, impostor: FloatArray) -> tuple[FloatArray, FloatArray]:
    """FAR and TAR at every genuine score as the threshold."""
    thresholds = np.sort(genuine)[::-1]
    false_accepts = IMPOSTORS - np.searchsorted(np.sort(impostor), thresholds, side="left")
    return false_accepts / IMPOSTORS, np.arange(1, len(genuine) + 1) / len(genuine)


@pytest.fixture(scope="module")
def cmc_file(tmp_path_factory: pytest.TempPathFactory, ranks: IntArray, scores: Scores) -> Any:
    path = tmp_path_factory.mktemp("results") / "cmc.json"
    write_cmc(path, ranks, DISTRACTORS, *roc(*scores), IMPOSTORS)
    return json.loads(path.read_text())


def test_rank_1_is_the_first_point(cmc_file: Any, ranks: IntArray) -> None:
    assert cmc_file["cmc"][0][0] == 0
    assert cmc_file["cmc"][1][0] == np.mean(ranks == 0)


def test_recall_at_every_point(cmc_file: Any, ranks: IntArray) -> None:
    assert cmc_file["cmc"][1] == [np.mean(ranks <= rank) for rank in cmc_file["cmc"][0]]


def test_every_rank_up_to_100_then_few_to_the_last(cmc_file: Any) -> None:
    points = cmc_file["cmc"][0]
    assert points[:101] == list(range(101))
    assert (points[-1], cmc_file["cmc"][1][-1]) == (DISTRACTORS, 1.0)
    assert all(type(rank) is int for rank in points) and 20 < len(points[101:]) < 60


@pytest.mark.parametrize("last", [1, 10, 99, 100, 101, 102, 1_000_000])
def test_points_of_any_size(last: int) -> None:
    points = sparse_ranks(last).tolist()
    assert points == sorted(set(points))
    assert points[: min(last, 100) + 1] == list(range(min(last, 100) + 1)) and points[-1] == last


@pytest.mark.parametrize("far", [1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
def test_a_decade_is_a_point_and_holds_the_exact_tar(cmc_file: Any, scores: Scores, far: float) -> None:
    genuine, impostor = scores
    allowed = round(far * IMPOSTORS)
    strictest = np.sort(impostor)[::-1][allowed] if allowed < IMPOSTORS else -np.inf  # the first one to be refused
    assert far in cmc_file["roc"][0]
    assert nearest(cmc_file["roc"], far) == np.mean(genuine > strictest)


def test_a_decade_with_less_than_one_false_accept_is_no_point(cmc_file: Any) -> None:
    assert 1e-7 not in cmc_file["roc"][0]


def test_the_first_point_beyond_a_decade_is_the_next_of_the_curve(cmc_file: Any, scores: Scores) -> None:
    far, tar = roc(*scores)
    beyond = far[far > 1e-4].min()
    assert first_above(cmc_file["roc"], 1e-4) == tar[far == beyond].max()


def test_far_rises_strictly_from_0_to_1(cmc_file: Any, scores: Scores) -> None:
    genuine, impostor = scores
    far, tar = cmc_file["roc"]
    assert (far[0], far[-1], tar[0], tar[-1]) == (0.0, 1.0, np.mean(genuine > impostor.max()), 1.0)
    assert np.all(np.diff(far) > 0) and np.all(np.diff(tar) >= 0) and 60 < len(far) < 200


def test_beyond_the_end_of_a_curve_only_its_certain_end_is_written(tmp_path: Path) -> None:
    write_cmc(tmp_path / "c.json", np.zeros(1, np.int64), 35, np.array([0.0, 1e-3]), np.array([0.25, 0.75]), 10_000)
    assert json.loads((tmp_path / "c.json").read_text())["roc"] == [[0, 1e-4, 1e-3, 1], [0.25, 0.25, 0.75, 1]]


def test_beyond_tar_1_every_decade_is_written(tmp_path: Path) -> None:
    write_cmc(tmp_path / "c.json", np.zeros(1, np.int64), 35, np.array([0.0, 0.01]), np.array([0.25, 1.0]), 100)
    assert json.loads((tmp_path / "c.json").read_text())["roc"] == [[0, 0.01, 0.1, 1], [0.25, 1, 1, 1]]


def test_far_between_grid_and_measured_points(tmp_path: Path) -> None:
    write_cmc(tmp_path / "c.json", np.zeros(1, np.int64), 35, np.array([0.02, 0.5]), np.array([0.25, 0.75]), 50)
    assert json.loads((tmp_path / "c.json").read_text())["roc"] == [[0, 0.02, 0.1, 0.5, 1], [0, 0.25, 0.25, 0.75, 1]]


@pytest.mark.parametrize(("ranks", "far", "tar", "message"), [
    ([], [0.5], [0.5], "needs ranks from 0 to 10"),
    ([0, 11], [0.5], [0.5], "needs ranks from 0 to 10"),
    ([-1], [0.5], [0.5], "needs ranks from 0 to 10"),
    ([0], [0.5, 0.4], [0.5, 0.6], "rising and between 0 and 1"),
    ([0], [0.5], [0.5, 0.6], "of one length"),
    ([0], [0.5], [float("nan")], "rising and between 0 and 1"),
    ([0], [], [], "needs FAR and TAR"),
])
def test_nothing_wrong_is_written(tmp_path: Path, ranks: list[int], far: list[float], tar: list[float],
                                  message: str) -> None:
    path = tmp_path / "c.json"
    with pytest.raises(DataError, match=f"c.json is not written.*{message}"):
        write_cmc(path, np.array(ranks, np.int64), 10, np.array(far, np.float64), np.array(tar, np.float64), 100)
    assert list(tmp_path.iterdir()) == []


def test_matches_are_listed_by_mate(tmp_path: Path) -> None:
    """Image 1 was removed by the noise list; image 0 finds 2 and 3 at the ranks 7 and 0, and so on."""
    pairs = np.array([[3, 0, 40], [0, 2, 7], [2, 0, 5], [3, 2, 1], [0, 3, 0], [2, 3, 9]])
    write_matches(tmp_path / "m.json", 4, *pairs.T)
    assert json.loads((tmp_path / "m.json").read_text()) == [
        {"probes": {"idx": [2, 3], "rank": [5, 40]}},
        {"probes": {"idx": [], "rank": []}},
        {"probes": {"idx": [0, 3], "rank": [7, 1]}},
        {"probes": {"idx": [0, 2], "rank": [0, 9]}},
    ]


def test_matches_count_to_rank_1(tmp_path: Path) -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    probe, mate = np.nonzero((labels[:, None] == labels) & ~np.eye(6, dtype=bool))
    ranks = np.array([0, 3, 0, 0, 1, 0, 0, 2])
    write_matches(tmp_path / "m.json", 6, probe, mate, ranks)
    listed = [rank for item in json.loads((tmp_path / "m.json").read_text()) for rank in item["probes"]["rank"]]
    assert (len(listed), sum(rank > 0 for rank in listed)) == (8, 3)


def test_names_as_the_kit_gives_them(tmp_path: Path) -> None:
    name = algorithm_name("_r50_112x112.bin")
    cmc = tmp_path / "cmc_facescrub_megaface_r50_112x112_1000000_1.json"
    assert result_path(tmp_path, "cmc", name, 1_000_000) == cmc
    assert result_path(tmp_path, "matches", "m", 10, 2, "fgnet").name == "matches_fgnet_megaface_m_10_2.json"


def test_a_name_with_a_slash(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'runs/best' cannot be in the name of a file"):
        result_path(tmp_path, "cmc", "runs/best", 10)
