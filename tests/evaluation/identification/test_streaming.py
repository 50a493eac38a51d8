from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from facekd.data.feature_set import ArrayFeatures, Features
from facekd.evaluation.identification import streaming
from facekd.evaluation.identification.mates import Mates
from facekd.evaluation.identification.rank_counter import Counter
from facekd.evaluation.identification.streaming import count_ahead

CPU = torch.device("cpu")


class Stops(Exception):
    pass


class Stopping(ArrayFeatures):
    """A gallery that cannot be read after so many blocks, and counts those that were."""

    def __init__(self, array: Features, blocks: int) -> None:
        super().__init__(array)
        self.left = blocks

    def unit(self, start: int, stop: int) -> Features:
        if self.left == 0:
            raise Stops
        self.left -= 1
        return super().unit(start, stop)


def case() -> tuple[Counter, Features]:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 4)
    probes = generator.normal(size=(10, 16))[labels] + generator.normal(size=(40, 16))
    mates = Mates(ArrayFeatures(probes).all(), labels)
    return Counter(mates, 0.4, 0.2), ArrayFeatures(generator.normal(size=(640, 16))).all()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "columns", lambda device: 64)


Arrays = dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]


def whole(counter: Counter, gallery: Features) -> Arrays:
    tally = count_ahead(counter, ArrayFeatures(gallery), 50, CPU)
    assert tally is not None
    return sorted_by_owner(tally.arrays())


def sorted_by_owner(arrays: Arrays) -> Arrays:
    order = np.lexsort((arrays["distractor"], arrays["probe"]))
    return {name: value[order] if name in ("score", "probe", "distractor") else value
            for name, value in arrays.items()}


def assert_alike(found: Arrays, expected: Arrays) -> None:
    """Equal, but for scores: the two libraries that may multiply round differently."""
    for name in expected:
        if name == "score":
            assert found[name] == pytest.approx(expected[name], abs=1e-6)
        else:
            assert np.array_equal(found[name], expected[name]), name


def test_killed_and_run_again_it_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter, gallery = case()
    monkeypatch.setattr(streaming, "SAVE_SECONDS", -1.0)
    state = tmp_path / "state"
    with pytest.raises(Stops):
        count_ahead(counter, Stopping(gallery, 7), 50, CPU, state, "one")
    assert list(tmp_path.glob("state.*"))
    rest = Stopping(gallery, 9)
    tally = count_ahead(counter, rest, 50, CPU, state, "one")
    assert tally is not None
    assert 0 < rest.left < 8, "some blocks were taken from the state, the others read"
    assert_alike(sorted_by_owner(tally.arrays()), whole(counter, gallery))
    assert not list(tmp_path.glob("state.*"))


def test_a_state_of_another_comparison_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter, gallery = case()
    monkeypatch.setattr(streaming, "SAVE_SECONDS", -1.0)
    with pytest.raises(Stops):
        count_ahead(counter, Stopping(gallery, 7), 50, CPU, tmp_path / "state", "one")
    rest = Stopping(gallery, 10)
    count_ahead(counter, rest, 50, CPU, tmp_path / "state", "two")
    assert rest.left == 0


def test_a_sum_beside_its_parts_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter, gallery = case()
    monkeypatch.setattr(streaming, "SAVE_SECONDS", -1.0)
    with pytest.raises(Stops):
        count_ahead(counter, Stopping(gallery, 7), 50, CPU, tmp_path / "state", "one")
    content = (tmp_path / "state.0").read_bytes()
    (tmp_path / "state.1").write_bytes(content)
    tally = count_ahead(counter, ArrayFeatures(gallery), 50, CPU, tmp_path / "state", "one")
    assert tally is not None
    assert np.array_equal(tally.places, whole(counter, gallery)["places"])


def work(out: str) -> None:
    """What each process does."""
    streaming.columns = lambda device: 64  # type: ignore[assignment]
    counter, gallery = case()
    tally = count_ahead(counter, ArrayFeatures(gallery), 50, CPU)
    if tally is not None:
        np.savez(out, **sorted_by_owner(tally.arrays()))  # type: ignore[arg-type]


def test_processes_of_torchrun_share_the_blocks(tmp_path: Path, torchrun: Callable[..., object]) -> None:
    out = tmp_path / "out.npz"
    torchrun(2, "tests.evaluation.identification.test_streaming", out)
    expected = whole(*case())
    with np.load(out) as found:
        assert found["done"].all()
        assert_alike(dict(found), expected)


if __name__ == "__main__":
    work(sys.argv[1])
