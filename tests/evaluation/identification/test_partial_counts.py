from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

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


def test_a_checkpoint_is_read_for_its_own_comparison_only(
    counter: RankCounter, block_counts: list[BlockCounts], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = counts_of(counter, {2: block_counts[2]})
    save_checkpoint(tmp_path / "state.0", counts, "one")
    loaded = load_checkpoint(tmp_path / "state.0", "one", counts_of(counter, {}))
    assert loaded is not None
    for name, array in counts.arrays().items():
        assert np.array_equal(loaded[name], array)
    assert load_checkpoint(tmp_path / "state.0", "two", counts_of(counter, {})) is None
    assert capsys.readouterr().err == ""


def damaged_deflate_stream() -> bytes:
    """An archive whose compressed data is damaged, which zlib reports as its own kind of exception."""
    stream = io.BytesIO()
    np.savez_compressed(stream, comparison=np.array("one"), counted_blocks=np.arange(99))
    content = bytearray(stream.getvalue())
    content[60:70] = b"\xff" * 10
    return bytes(content)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text", damaged_deflate_stream()])
def test_a_damaged_checkpoint_is_begun_anew_with_a_note(
    counter: RankCounter, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state.0").write_bytes(content)
    assert load_checkpoint(tmp_path / "state.0", "one", counts_of(counter, {})) is None
    note = capsys.readouterr().err
    assert "state.0 cannot be read" in note and note.endswith("; it is begun anew\n") and note.count("\n") == 1


def test_a_checkpoint_of_an_older_facekd_is_begun_anew(
    counter: RankCounter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "state.0").open("wb") as file:
        np.savez(file, key=np.array("one"), done=np.ones(4, bool), places=np.arange(3))
    assert load_checkpoint(tmp_path / "state.0", "one", counts_of(counter, {})) is None
    assert "it is begun anew" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "value"), [
    ("counted_blocks", np.ones(BLOCKS + 1, bool)), ("counted_blocks", np.ones(BLOCKS, np.int64)),
    ("insertion_counts", np.zeros(3, np.int64)), ("deep_counts", np.zeros((2, 2), np.int64)),
    ("impostor_scores", np.zeros(1, np.float32)), ("impostor_probes", np.zeros((1, 2), np.int32)),
    ("impostor_distractors", np.array(["x"])),
])
def test_arrays_that_cannot_be_merged_are_begun_anew(
    counter: RankCounter, block_counts: list[BlockCounts], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    name: str, value: NDArray[Any],
) -> None:
    arrays: dict[str, Any] = {**counts_of(counter, {2: block_counts[2]}).arrays(), name: value}
    with (tmp_path / "state.0").open("wb") as file:
        np.savez(file, comparison=np.array("one"), **arrays)
    assert load_checkpoint(tmp_path / "state.0", "one", counts_of(counter, {})) is None
    assert "it is begun anew" in capsys.readouterr().err
