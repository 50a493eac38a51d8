from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facekd.errors import DataError
from facekd.evaluation.identification.mates import Mates
from facekd.evaluation.identification.partial_counts import PartialCounts, load_checkpoint, save_checkpoint
from facekd.evaluation.identification.rank_counter import BlockCounts, RankCounter
from tests.evaluation.toy import unit_rows

BLOCK_SIZE, BLOCKS = 50, 4


@pytest.fixture
def counter() -> RankCounter:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 4)
    probes = unit_rows(generator.normal(size=(10, 16))[labels] + generator.normal(size=(40, 16)))
    return RankCounter(Mates(probes, labels), 0.4, 0.2)


@pytest.fixture
def block_counts(counter: RankCounter) -> list[BlockCounts]:
    distractors = unit_rows(np.random.default_rng(1).normal(size=(BLOCKS * BLOCK_SIZE, 16)))
    products = counter.create_products(torch.device("cpu"))
    return [counter.count_block(products, distractors[start : start + BLOCK_SIZE])
            for start in range(0, len(distractors), BLOCK_SIZE)]


def counts_of(counter: RankCounter, blocks: dict[int, BlockCounts]) -> PartialCounts:
    counts = PartialCounts(counter, BLOCKS, BLOCK_SIZE, 1000)
    for number, block in blocks.items():
        counts.add(number, block)
    return counts


def test_blocks_are_summed_and_distractors_numbered_through(counter: RankCounter,
                                                            block_counts: list[BlockCounts]) -> None:
    counts = counts_of(counter, dict(enumerate(block_counts)))
    arrays = counts.arrays()
    assert arrays["counted_blocks"].all()
    assert np.array_equal(arrays["insertion_counts"], sum(block.insertion_counts for block in block_counts))
    assert np.array_equal(arrays["deep_counts"], sum(block.deep_counts for block in block_counts))
    expected = np.concatenate([block.distractor + 50 * number for number, block in enumerate(block_counts)])
    assert np.array_equal(arrays["impostor_distractors"], expected)
    assert np.array_equal(arrays["impostor_probes"], np.concatenate([block.probe for block in block_counts]))


def test_merged_parts_are_the_whole(counter: RankCounter, block_counts: list[BlockCounts]) -> None:
    first = counts_of(counter, {3: block_counts[3], 0: block_counts[0]})
    second = counts_of(counter, {number: block_counts[number] for number in (1, 2)})
    first.merge(second.arrays())
    merged, expected = first.arrays(), counts_of(counter, dict(enumerate(block_counts))).arrays()
    for name in ("counted_blocks", "insertion_counts", "deep_counts"):
        assert np.array_equal(merged[name], expected[name])
    assert sorted(merged["impostor_scores"].tolist()) == sorted(expected["impostor_scores"].tolist())


def test_a_checkpoint_is_read_for_its_own_comparison_only(counter: RankCounter, block_counts: list[BlockCounts],
                                                          tmp_path: Path) -> None:
    counts = counts_of(counter, {2: block_counts[2]})
    save_checkpoint(tmp_path / "state.0", counts, "one")
    loaded = load_checkpoint(tmp_path / "state.0", "one")
    assert loaded is not None
    for name, array in counts.arrays().items():
        assert np.array_equal(loaded[name], array)
    assert load_checkpoint(tmp_path / "state.0", "two") is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text"])
def test_a_damaged_checkpoint_is_ignored(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.0").write_bytes(content)
    assert load_checkpoint(tmp_path / "state.0", "one") is None


def test_a_checkpoint_of_an_older_facekd_is_ignored(tmp_path: Path) -> None:
    with (tmp_path / "state.0").open("wb") as file:
        np.savez(file, key=np.array("one"), done=np.ones(4, bool), places=np.arange(3))
    assert load_checkpoint(tmp_path / "state.0", "one") is None


def test_a_checkpoint_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"state\.0 cannot be read .*; remove it, the comparison begins anew"):
        load_checkpoint(tmp_path / "state.0", "one")
