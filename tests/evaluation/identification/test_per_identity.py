from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.feature_set import ArrayFeatures
from facekd.errors import DataError
from facekd.evaluation.identification.identify import identify
from facekd.evaluation.identification.per_identity import read_identity_counts, write_identity_counts
from facekd.evaluation.identification.result import IdentificationResult

FARS = ("1e-2", "1e-3")
PEOPLE, DISTRACTORS = 12, 150


@pytest.fixture(scope="module")
def result() -> IdentificationResult:
    """Twelve people of four probes each among 150 distractors."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(PEOPLE) * 10, 4)
    probes = generator.normal(size=(PEOPLE * 10, 16))[labels] + generator.normal(size=(48, 16))
    distractors = ArrayFeatures(generator.normal(size=(DISTRACTORS, 16)))
    identified = identify(ArrayFeatures(probes, labels=labels), distractors, FARS, resamples=2)
    assert identified is not None
    return identified


def test_every_person_is_counted(result: IdentificationResult) -> None:
    counts = result.identity_counts
    assert counts.labels.tolist() == list(range(0, 120, 10))
    assert (counts.sizes == 4).all() and (counts.pairs == 12).all()
    assert counts.distractors == DISTRACTORS
    for person in range(PEOPLE):
        ahead = result.distractors_ahead[result.mates.identity[result.mates.probe] == person]
        assert counts.hits[person].tolist() == [(ahead < rank).sum() for rank in range(1, 101)]


def test_accepts_fall_as_the_edges_rise(result: IdentificationResult) -> None:
    counts = result.identity_counts
    for accepts in (counts.genuine_accepts, counts.false_accepts):
        assert (np.diff(accepts, axis=1) <= 0).all()
        assert (accepts[:, -1] == 0).all()
    assert counts.genuine_accepts.sum(axis=0)[0] <= 12 * 6


def test_the_rates_of_equal_weights_are_those_of_the_result(result: IdentificationResult) -> None:
    rates = result.identity_counts.rates(np.ones((2, PEOPLE), np.int32), FARS)
    assert rates[0, 0] == pytest.approx(result.rank1, abs=1e-12)
    assert rates[0, 1:].tolist() == pytest.approx([result.tar[far] for far in FARS], abs=1 / 72)
    assert np.array_equal(rates[0], rates[1])


def test_weights_are_people_that_occur_several_times(result: IdentificationResult) -> None:
    counts, weights = result.identity_counts, np.random.default_rng(1).integers(0, 3, PEOPLE).astype(np.int32)
    ahead = [result.distractors_ahead[result.mates.identity[result.mates.probe] == person] for person in range(PEOPLE)]
    pooled = np.concatenate([np.tile(ahead[person], weights[person]) for person in range(PEOPLE)])
    assert counts.rates(weights[None], ())[0].tolist() == pytest.approx([(pooled == 0).mean()])


def test_counts_survive_the_disk(result: IdentificationResult, tmp_path: Path) -> None:
    counts = result.identity_counts
    write_identity_counts(tmp_path / "counts.npz", counts)
    weights = np.random.default_rng(0).integers(0, 3, (10, PEOPLE)).astype(np.int32)
    loaded = read_identity_counts(tmp_path / "counts.npz")
    assert np.array_equal(loaded.rates(weights, FARS), counts.rates(weights, FARS))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text"])
def test_a_damaged_file_of_counts_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "counts.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"counts\.npz cannot be read"):
        read_identity_counts(tmp_path / "counts.npz")


def test_counts_of_an_older_facekd_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "counts.npz", names=np.arange(2), sizes=np.arange(2), hits=np.zeros((2, 100)))
    with pytest.raises(DataError, match="facekd eval megaface' writes it next to its result, run it again"):
        read_identity_counts(tmp_path / "counts.npz")


def archive(change: Callable[[bytearray], None]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, labels=np.arange(9), sizes=np.arange(9))
    content = bytearray(stream.getvalue())
    change(content)
    return bytes(content)


def damage_the_stream(content: bytearray) -> None:
    content[60:70] = b"\xff" * 10


def raise_the_version(content: bytearray) -> None:
    content[content.rindex(b"PK\x01\x02") + 6] = 200


def encrypt(content: bytearray) -> None:
    content[content.rindex(b"PK\x01\x02") + 8] |= 1


@pytest.mark.parametrize("change", [damage_the_stream, raise_the_version, encrypt])
def test_what_zipfile_raises_is_one_sentence(tmp_path: Path, change: Callable[[bytearray], None]) -> None:
    (tmp_path / "counts.npz").write_bytes(archive(change))
    with pytest.raises(DataError, match=r"counts\.npz cannot be read .*; 'facekd eval megaface' writes it"):
        read_identity_counts(tmp_path / "counts.npz")


def test_counts_that_unpack_to_gigabytes_are_refused(tmp_path: Path) -> None:
    def claim_gigabytes(content: bytearray) -> None:
        struct.pack_into("<I", content, content.rindex(b"PK\x01\x02") + 24, 3 << 30)

    (tmp_path / "counts.npz").write_bytes(archive(claim_gigabytes))
    with pytest.raises(DataError, match=r"its arrays take 3,221,225,\d+ bytes, the limit is"):
        read_identity_counts(tmp_path / "counts.npz")


@pytest.mark.parametrize(("name", "value"), [
    ("sizes", np.full(PEOPLE, 4.0)), ("sizes", np.full(PEOPLE, -4)), ("sizes", np.ones(PEOPLE, np.int64)),
    ("sizes", np.array(4)), ("sizes", np.zeros((0,), np.int64)), ("labels", np.arange(3)), ("hits", np.zeros(100, int)),
    ("genuine_accepts", np.zeros((PEOPLE, 3), int)), ("false_accepts", np.ones((PEOPLE, 0), int)),
    ("distractors", np.array([150])), ("distractors", np.array(1 << 39)), ("distractors", np.array("150")),
])
def test_counts_that_do_not_fit_together_are_refused(
    result: IdentificationResult, tmp_path: Path, name: str, value: NDArray[Any]
) -> None:
    counts = result.identity_counts
    arrays = {field.name: getattr(counts, field.name) for field in fields(counts)}
    if name == "distractors" and value.ndim == 0 and value.dtype.kind == "i":
        arrays["sizes"] = np.full(PEOPLE, 1 << 39)
    np.savez(tmp_path / "counts.npz", **{**arrays, name: value})
    with pytest.raises(DataError, match=r"counts\.npz cannot be read .*run it again"):
        read_identity_counts(tmp_path / "counts.npz")
