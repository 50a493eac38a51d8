from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from facekd.data.feature_set import ArrayFeatures, Features
from facekd.distributed import init_distributed
from facekd.evaluation.identification import streaming
from facekd.evaluation.identification.mates import Mates
from facekd.evaluation.identification.partial_counts import Arrays
from facekd.evaluation.identification.rank_counter import RankCounter
from facekd.evaluation.identification.streaming import count_distractors_ahead
from tests.evaluation.toy import unit_rows

CPU = torch.device("cpu")


class Interrupted(Exception):
    pass


class InterruptedFeatures(ArrayFeatures):
    """Distractors that cannot be read after so many blocks.

    Attributes:
        blocks_left: number of blocks that can still be read.
    """

    def __init__(self, array: Features, blocks: int) -> None:
        super().__init__(array)
        self.blocks_left = blocks

    def l2_normalized_rows(self, start: int, stop: int) -> Features:
        if self.blocks_left == 0:
            raise Interrupted
        self.blocks_left -= 1
        return super().l2_normalized_rows(start, stop)


def counter_and_distractors() -> tuple[RankCounter, Features]:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 4)
    probes = generator.normal(size=(10, 16))[labels] + generator.normal(size=(40, 16))
    counter = RankCounter(Mates(unit_rows(probes), labels), 0.4, 0.2)
    return counter, unit_rows(generator.normal(size=(640, 16)))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "distractors_per_block", lambda device: 64)


def counted_in_one_pass(counter: RankCounter, distractors: Features) -> Arrays:
    counts = count_distractors_ahead(counter, ArrayFeatures(distractors), 50, CPU)
    assert counts is not None
    return sorted_by_owner(counts.arrays())


def sorted_by_owner(arrays: Arrays) -> Arrays:
    order = np.lexsort((arrays["impostor_distractors"], arrays["impostor_probes"]))
    return {name: value[order] if name.startswith("impostor_") else value for name, value in arrays.items()}


def assert_same_counts(counts: Arrays, expected: Arrays) -> None:
    """Equal except for scores: the two libraries that can multiply round differently."""
    for name in expected:
        if name == "impostor_scores":
            assert counts[name] == pytest.approx(expected[name], abs=1e-6)
        else:
            assert np.array_equal(counts[name], expected[name]), name


def test_killed_and_run_again_it_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter, distractors = counter_and_distractors()
    monkeypatch.setattr(streaming, "SAVE_SECONDS", -1.0)
    checkpoint = tmp_path / "state"
    with pytest.raises(Interrupted):
        count_distractors_ahead(counter, InterruptedFeatures(distractors, 7), 50, CPU, checkpoint, "one")
    assert list(tmp_path.glob("state.*"))
    rest = InterruptedFeatures(distractors, 9)
    counts = count_distractors_ahead(counter, rest, 50, CPU, checkpoint, "one")
    assert counts is not None
    assert 0 < rest.blocks_left < 8, "some blocks were taken from the checkpoint, the others read"
    assert_same_counts(sorted_by_owner(counts.arrays()), counted_in_one_pass(counter, distractors))
    assert not list(tmp_path.glob("state.*"))


def test_a_checkpoint_of_another_comparison_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter, distractors = counter_and_distractors()
    monkeypatch.setattr(streaming, "SAVE_SECONDS", -1.0)
    with pytest.raises(Interrupted):
        count_distractors_ahead(counter, InterruptedFeatures(distractors, 7), 50, CPU, tmp_path / "state", "one")
    rest = InterruptedFeatures(distractors, 10)
    count_distractors_ahead(counter, rest, 50, CPU, tmp_path / "state", "two")
    assert rest.blocks_left == 0


def test_a_sum_next_to_its_parts_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter, distractors = counter_and_distractors()
    monkeypatch.setattr(streaming, "SAVE_SECONDS", -1.0)
    with pytest.raises(Interrupted):
        count_distractors_ahead(counter, InterruptedFeatures(distractors, 7), 50, CPU, tmp_path / "state", "one")
    content = (tmp_path / "state.0").read_bytes()
    (tmp_path / "state.1").write_bytes(content)
    counts = count_distractors_ahead(counter, ArrayFeatures(distractors), 50, CPU, tmp_path / "state", "one")
    assert counts is not None
    assert np.array_equal(counts.insertion_counts, counted_in_one_pass(counter, distractors)["insertion_counts"])


def count_in_this_process(out: str) -> None:
    """The work of each process of torchrun; the first one writes the sum."""
    init_distributed()
    streaming.distractors_per_block = lambda device: 64
    counter, distractors = counter_and_distractors()
    counts = count_distractors_ahead(counter, ArrayFeatures(distractors), 50, CPU)
    if counts is not None:
        np.savez(out, **sorted_by_owner(counts.arrays()))  # type: ignore[arg-type]


def test_processes_of_torchrun_share_the_blocks(tmp_path: Path, torchrun: Callable[..., object]) -> None:
    out = tmp_path / "out.npz"
    torchrun(2, "tests.evaluation.identification.test_streaming", out)
    expected = counted_in_one_pass(*counter_and_distractors())
    with np.load(out) as counts:
        assert counts["counted_blocks"].all()
        assert_same_counts(dict(counts), expected)


if __name__ == "__main__":
    count_in_this_process(sys.argv[1])
