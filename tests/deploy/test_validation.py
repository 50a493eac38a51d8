from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.pairs.pair_set import PairSet
from facekd.deploy.source import Form, Source, freeze
from facekd.deploy.targets.base import NotRunnable
from facekd.deploy.validation import Proof, Prover
from facekd.deploy.validation_gate import Gate
from facekd.errors import ExportError, ModelError
from facekd.evaluation.protocols import evaluate_verification
from facekd.evaluation.verification.verify import verify
from facekd.models.embedder import Embedder
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network

FILE = Path("package/tiny.int8.onnx")
Change = Callable[[NDArray[np.float32], NDArray[np.uint8]], NDArray[np.float32]]


class Changed(Embedder):
    """The network's embeddings after a change."""

    def __init__(self, source: Source, change: Change) -> None:
        self.source, self.change = source, change
        self.name, self.size, self.dimension, self.fingerprint = "changed", 112, 8, ""

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.change(self.source.embed(crops), crops)


@pytest.fixture(scope="module")
def source(tiny: Network) -> Source:
    return freeze(tiny, Form(), "tiny")


@pytest.fixture(scope="module")
def pairs(noisy_pairs: Callable[[int, int], PairSet]) -> PairSet:
    return noisy_pairs(40, 5)


def noise(scale: float) -> Change:
    """Noise of the size of the embeddings times ``scale``, its seed the image."""

    def change(rows: NDArray[np.float32], crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        drawn = [np.random.default_rng(int(crop.sum())).normal(size=8) for crop in crops]
        return np.asarray(rows + scale * np.abs(rows).mean() * np.array(drawn), np.float32)

    return change


def prove(source: Source, change: Change, pairs: PairSet | None = None, gate: Gate | None = None) -> Proof:
    return Prover(source, pairs=pairs, gate=gate).prove(FILE, "int8", lambda: Changed(source, change))


def test_a_float_file_is_proved(source: Source, exported: Path, crops: NDArray[np.uint8], pairs: PairSet) -> None:
    prover = Prover(source, crops, pairs, Gate(0.3))
    proof = prover.prove(exported, "fp32", lambda: OnnxEmbedder(exported))
    assert proof.standing == "passed"
    assert proof.note is None
    assert [list(proof.noise), list(proof.crops)] == [[1, 2, 7], [1, 2, 7]]
    assert min(found.minimum for found in [*proof.noise.values(), *proof.crops.values()]) > 0.999999
    assert [found.images for found in proof.crops.values()] == [24, 24, 24]
    assert proof.verified is not None
    assert proof.verified.drops[0].interval == (0.0, 0.0)


def test_cosines_are_those_of_the_embeddings(source: Source, crops: NDArray[np.uint8]) -> None:
    """A quarter turn of two numbers out of eight, on every image."""

    def turn(rows: NDArray[np.float32], _: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.column_stack([-rows[:, 1], rows[:, 0], rows[:, 2:]]).astype(np.float32)

    wanted = source.embed(crops).astype(np.float64)
    expected = (wanted[:, 2:] ** 2).sum(axis=1) / (wanted ** 2).sum(axis=1)
    found = Prover(source, crops).prove(FILE, "int8", lambda: Changed(source, turn)).crops
    assert [f.mean for f in found.values()] == pytest.approx([expected.mean()] * 3, abs=1e-6)
    assert [f.minimum for f in found.values()] == pytest.approx([expected.min()] * 3, abs=1e-6)


def test_a_float_file_that_strays_is_refused(source: Source) -> None:
    prover = Prover(source)
    with pytest.raises(ExportError, match=r"int8\.onnx was refused: its cosine .* at batch 1, an fp32 file must reach"):
        prover.prove(FILE, "fp32", lambda: Changed(source, noise(0.1)))
    assert prover.prove(FILE, "fp16", lambda: Changed(source, noise(0.1))).noise[1].minimum < 0.9999


def test_a_frozen_batch_is_seen(source: Source) -> None:
    def first_only(rows: NDArray[np.float32], _: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.repeat(rows[:1], len(rows), axis=0)

    with pytest.raises(ExportError, match="at batch 2"):
        Prover(source).prove(FILE, "fp32", lambda: Changed(source, first_only))


@pytest.mark.parametrize("change", [lambda rows, _: rows[:, :4], lambda rows, _: rows * np.float32(np.nan)])
def test_another_length_or_no_number_is_refused(source: Source, change: Change) -> None:
    with pytest.raises(ExportError, match="was refused: at batch 1 it gives"):
        prove(source, change)


def test_what_the_runtime_says_is_passed_on(source: Source) -> None:
    def fail() -> Embedder:
        raise ModelError("tiny.int8.onnx fails on an input")

    with pytest.raises(ExportError, match=r"int8\.onnx was refused: tiny\.int8\.onnx fails"):
        Prover(source).prove(FILE, "int8", fail)


def test_both_are_measured_on_the_same_pairs(source: Source, pairs: PairSet) -> None:
    proof = prove(source, noise(1.0), pairs)
    result, scores = evaluate_verification(Changed(source, lambda rows, _: rows), pairs, flip=False)
    assert proof.standing == "no gate"
    assert proof.verified is not None
    assert proof.verified.network.accuracy == result.accuracy
    again, _ = evaluate_verification(Changed(source, noise(1.0)), pairs, flip=False)
    assert proof.verified.file.accuracy == again.accuracy
    drop = proof.verified.drops[0]
    assert drop.first == pytest.approx(verify(scores, pairs.same, pairs.fold).accuracy)
    assert drop.interval[0] <= drop.first - drop.second <= drop.interval[1]
    assert proof.verified.drawn == "pairs"


def test_a_file_that_clearly_loses_is_refused_with_its_layers(source: Source, pairs: PairSet) -> None:
    prover = Prover(source, pairs=pairs, gate=Gate(0.3))
    with pytest.raises(ExportError) as refused:
        prover.prove(FILE, "int8", lambda: Changed(source, noise(5.0)),
                     lambda: [("a", 3.21), ("b", 9.0), ("c", 12.0), ("d", 30.0)])
    assert str(refused.value).startswith("package/tiny.int8.onnx was refused: it loses ")
    assert "most is lost in a (3.2 dB), b (9.0 dB), c (12.0 dB); keep" in str(refused.value)


def test_layers_are_not_asked_when_all_is_well(source: Source, pairs: PairSet) -> None:
    def never() -> list[tuple[str, float]]:
        raise AssertionError

    prover = Prover(source, pairs=pairs, gate=Gate(0.3))
    assert prover.prove(FILE, "int8", lambda: Changed(source, lambda rows, _: rows), never).standing == "passed"


def test_a_file_that_perhaps_loses_is_warned_of(source: Source, pairs: PairSet) -> None:
    measured = prove(source, noise(2.0), pairs).verified
    assert measured is not None
    drop = measured.drops[0]
    between = 100 * (max(drop.interval[0], 0) + drop.first - drop.second) / 2
    proof = prove(source, noise(2.0), pairs, Gate(between))
    assert proof.standing == "warned"
    assert proof.note is not None
    assert "but not clearly so; measure it on more pairs" in proof.note


def test_without_pairs_nothing_is_gated(source: Source) -> None:
    proof = prove(source, noise(5.0), gate=Gate(0.0))
    assert proof.standing == "not measured"
    assert proof.to_dict()["verification"] == "not measured"


def test_what_cannot_run_here_is_marked(source: Source, pairs: PairSet) -> None:
    def elsewhere() -> Embedder:
        raise NotRunnable("Core ML files run on macOS only")

    found = Prover(source, pairs=pairs, gate=Gate(0.3)).prove(FILE, "int8", elsewhere).to_dict()
    assert found["standing"] == found["cosine"] == found["verification"] == "not run"
    assert found["note"] == "Core ML files run on macOS only"


def test_json_fields(source: Source, crops: NDArray[np.uint8], pairs: PairSet) -> None:
    proof = Prover(source, crops, pairs, Gate(90)).prove(FILE, "int8", lambda: Changed(source, noise(2.0)))
    content = json.loads(json.dumps(proof.to_dict(), allow_nan=False))
    assert set(content) == {"standing", "max_drop", "note", "cosine", "verification"}
    assert set(content["cosine"]["crops"]["7"]) == {"mean", "minimum", "images"}
    verified = content["verification"]
    assert (verified["pairs_file"], verified["drawn"]) == ("pairs.bin", "pairs")
    lost = 100 * (verified["network"]["accuracy"] - verified["file"]["accuracy"])
    assert verified["drop"]["accuracy"]["points"] == pytest.approx(lost)


def test_the_network_is_left_as_it_was(source: Source, pairs: PairSet) -> None:
    before = [value.stride() for value in source.network.state_dict().values()]
    Prover(source, pairs=pairs)
    assert [value.stride() for value in source.network.state_dict().values()] == before
