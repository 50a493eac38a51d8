from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.pairs.pair_set import PairSet
from facekd.deploy.source import ExportFormat, ExportSource, prepare_source
from facekd.deploy.targets.base import RuntimeUnavailableError
from facekd.deploy.validation import ExportValidator
from facekd.deploy.validation_gate import DEFAULT_GATE, Gate
from facekd.deploy.validation_report import ValidationReport
from facekd.errors import ExportError, ModelError
from facekd.evaluation.verification.verify import evaluate_verification, verify
from facekd.models.embedder import Embedder
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network

FILE = Path("package/tiny.int8.onnx")
Change = Callable[[NDArray[np.float32], NDArray[np.uint8]], NDArray[np.float32]]


class ChangedEmbedder(Embedder):
    """The network's embeddings after a change."""

    def __init__(self, source: ExportSource, change: Change) -> None:
        self.source = source
        self.change = change
        self.name = "changed"
        self.size = 112
        self.dimension = 8
        self.fingerprint = ""

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.change(self.source.embed(crops), crops)


@pytest.fixture(scope="module")
def source(tiny_network: Network) -> ExportSource:
    return prepare_source(tiny_network, ExportFormat(), "tiny")


@pytest.fixture(scope="module")
def pairs(noisy_pairs: Callable[[int, int], PairSet]) -> PairSet:
    return noisy_pairs(40, 5)


def noise(scale: float) -> Change:
    """Add noise of the magnitude of the embeddings times ``scale``; the image is its seed."""

    def change(rows: NDArray[np.float32], crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = [np.random.default_rng(int(crop.sum())).normal(size=8) for crop in crops]
        return np.asarray(rows + scale * np.abs(rows).mean() * np.array(values), np.float32)

    return change


def validate(
    source: ExportSource, change: Change, pairs: PairSet | None = None, gates: Sequence[Gate] = ()
) -> ValidationReport:
    validator = ExportValidator(source, pairs=pairs, gates=gates)
    return validator.validate(FILE, "int8", lambda: ChangedEmbedder(source, change))


def test_a_float_file_passes(
    source: ExportSource, float_file: Path, crops: NDArray[np.uint8], pairs: PairSet
) -> None:
    validator = ExportValidator(source, crops, pairs, [DEFAULT_GATE])
    report = validator.validate(float_file, "fp32", lambda: OnnxEmbedder(float_file))
    summaries = [*report.noise_cosines.values(), *report.crop_cosines.values()]
    assert report.status == "passed"
    assert report.note is None
    assert [list(report.noise_cosines), list(report.crop_cosines)] == [[1, 2, 7], [1, 2, 7]]
    assert min(summary.minimum for summary in summaries) > 0.999999
    assert [summary.images for summary in report.crop_cosines.values()] == [24, 24, 24]
    assert report.verification is not None
    assert report.verification.losses[0].interval == (0.0, 0.0)


def test_cosines_are_those_of_the_embeddings(source: ExportSource, crops: NDArray[np.uint8]) -> None:
    """Rotate two of the eight numbers of every embedding by 90 degrees."""

    def rotate(rows: NDArray[np.float32], _: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.column_stack([-rows[:, 1], rows[:, 0], rows[:, 2:]]).astype(np.float32)

    network = source.embed(crops).astype(np.float64)
    cosines = (network[:, 2:] ** 2).sum(axis=1) / (network ** 2).sum(axis=1)
    report = ExportValidator(source, crops).validate(FILE, "int8", lambda: ChangedEmbedder(source, rotate))
    summaries = report.crop_cosines.values()
    assert [summary.mean for summary in summaries] == pytest.approx([cosines.mean()] * 3, abs=1e-6)
    assert [summary.minimum for summary in summaries] == pytest.approx([cosines.min()] * 3, abs=1e-6)


def test_a_float_file_that_strays_is_refused(source: ExportSource) -> None:
    validator = ExportValidator(source)
    with pytest.raises(ExportError, match=r"int8\.onnx was refused: its cosine .* at batch 1, an fp32 file must reach"):
        validator.validate(FILE, "fp32", lambda: ChangedEmbedder(source, noise(0.1)))
    report = validator.validate(FILE, "fp16", lambda: ChangedEmbedder(source, noise(0.1)))
    assert report.noise_cosines[1].minimum < 0.9999


def test_a_frozen_batch_is_seen(source: ExportSource) -> None:
    def first_only(rows: NDArray[np.float32], _: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.repeat(rows[:1], len(rows), axis=0)

    with pytest.raises(ExportError, match="at batch 2"):
        ExportValidator(source).validate(FILE, "fp32", lambda: ChangedEmbedder(source, first_only))


@pytest.mark.parametrize("change", [lambda rows, _: rows[:, :4], lambda rows, _: rows * np.float32(np.nan)])
def test_another_length_or_nan_is_refused(source: ExportSource, change: Change) -> None:
    with pytest.raises(ExportError, match="was refused: at batch 1 it gives"):
        validate(source, change)


def test_the_error_of_the_runtime_is_passed_on(source: ExportSource) -> None:
    def fail() -> Embedder:
        raise ModelError("tiny.int8.onnx fails on an input")

    with pytest.raises(ExportError, match=r"int8\.onnx was refused: tiny\.int8\.onnx fails"):
        ExportValidator(source).validate(FILE, "int8", fail)


def test_both_are_measured_on_the_same_pairs(source: ExportSource, pairs: PairSet) -> None:
    report = validate(source, noise(1.0), pairs)
    network_result, scores = evaluate_verification(ChangedEmbedder(source, lambda rows, _: rows), pairs, flip=False)
    assert report.status == "no gate"
    assert report.verification is not None
    assert report.verification.network.accuracy == network_result.accuracy
    file_result, _ = evaluate_verification(ChangedEmbedder(source, noise(1.0)), pairs, flip=False)
    assert report.verification.file.accuracy == file_result.accuracy
    loss = report.verification.losses[0]
    assert loss.reference == pytest.approx(verify(scores, pairs.same, pairs.fold).accuracy)
    assert loss.interval[0] <= loss.points <= loss.interval[1]
    assert report.verification.resampled == "pairs"


def test_a_file_that_clearly_loses_is_refused_with_its_layers(source: ExportSource, pairs: PairSet) -> None:
    validator = ExportValidator(source, pairs=pairs, gates=[DEFAULT_GATE])
    with pytest.raises(ExportError) as refused:
        validator.validate(FILE, "int8", lambda: ChangedEmbedder(source, noise(5.0)),
                           lambda: [("a", 3.21), ("b", 9.0), ("c", 12.0), ("d", 30.0)])
    assert str(refused.value).startswith("package/tiny.int8.onnx was refused: it loses ")
    assert "most is lost in a (3.2 dB), b (9.0 dB), c (12.0 dB); train" in str(refused.value)


def test_layers_are_not_measured_if_the_file_passes(source: ExportSource, pairs: PairSet) -> None:
    def never() -> list[tuple[str, float]]:
        raise AssertionError

    validator = ExportValidator(source, pairs=pairs, gates=[DEFAULT_GATE])
    report = validator.validate(FILE, "int8", lambda: ChangedEmbedder(source, lambda rows, _: rows), never)
    assert report.status == "passed"


def test_a_file_that_perhaps_loses_is_warned_of(source: ExportSource, pairs: PairSet) -> None:
    measured = validate(source, noise(2.0), pairs).verification
    assert measured is not None
    loss = measured.losses[0]
    between = (max(loss.interval[0], 0) + loss.points) / 2
    report = validate(source, noise(2.0), pairs, [Gate("accuracy", between)])
    assert report.status == "warned"
    assert report.note is not None
    assert "but not clearly so; measure it on more pairs" in report.note


def test_without_pairs_nothing_is_gated(source: ExportSource) -> None:
    report = validate(source, noise(5.0), gates=[Gate("accuracy", 0.0)])
    assert report.status == "not measured"
    assert report.to_dict()["verification"] == "not measured"


def test_a_file_that_cannot_run_here_is_marked(source: ExportSource, pairs: PairSet) -> None:
    def unavailable() -> Embedder:
        raise RuntimeUnavailableError("Core ML files run on macOS only")

    validator = ExportValidator(source, pairs=pairs, gates=[DEFAULT_GATE])
    record = validator.validate(FILE, "int8", unavailable).to_dict()
    assert record["status"] == record["cosine"] == record["verification"] == "not run"
    assert record["note"] == "Core ML files run on macOS only"


def test_json_fields(source: ExportSource, crops: NDArray[np.uint8], pairs: PairSet) -> None:
    validator = ExportValidator(source, crops, pairs, [Gate("accuracy", 90)])
    report = validator.validate(FILE, "int8", lambda: ChangedEmbedder(source, noise(2.0)))
    record = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(record) == {"status", "gates", "note", "cosine", "verification", "similarities"}
    assert set(record["cosine"]["crops"]["7"]) == {"mean", "minimum", "images"}
    verification = record["verification"]
    assert (verification["pairs_file"], verification["resampled"]) == ("pairs.bin", "pairs")
    points = 100 * (verification["network"]["accuracy"] - verification["file"]["accuracy"])
    assert verification["drop"]["accuracy"]["points"] == pytest.approx(points)


def test_the_network_is_left_as_it_was(source: ExportSource, pairs: PairSet) -> None:
    before = [value.stride() for value in source.network.state_dict().values()]
    ExportValidator(source, pairs=pairs)
    assert [value.stride() for value in source.network.state_dict().values()] == before


def test_losses_are_gated_against_another_model(source: ExportSource, pairs: PairSet) -> None:
    better = ChangedEmbedder(source, lambda rows, _: rows)
    worse = noise(5.0)
    validator = ExportValidator(source, pairs=pairs, gates=[DEFAULT_GATE], against=ChangedEmbedder(source, worse))
    report = validator.validate(FILE, "int8", lambda: ChangedEmbedder(source, worse))
    assert report.status == "passed"
    assert report.verification is not None
    assert report.verification.losses[0].points > 0
    assert report.verification.losses_against[0].points == 0
    validator = ExportValidator(source, pairs=pairs, gates=[DEFAULT_GATE], against=better)
    message = r"points of accuracy .* against changed, more than --gate accuracy=0\.3 allows"
    with pytest.raises(ExportError, match=message):
        validator.validate(FILE, "int8", lambda: ChangedEmbedder(source, worse))


def test_an_original_stands_for_the_network(source: ExportSource, crops: NDArray[np.uint8]) -> None:
    original = ChangedEmbedder(source, lambda rows, _: -rows)
    report = ExportValidator(source, crops, original=original).validate(
        FILE, "int8", lambda: ChangedEmbedder(source, lambda rows, _: rows))
    assert report.crop_cosines[1].mean == pytest.approx(-1)


def test_every_gate_counts(source: ExportSource, pairs: PairSet) -> None:
    gates = [Gate("accuracy", 100), Gate("eer", 0.0)]
    with pytest.raises(ExportError, match=r"points of eer .*, more than --gate eer=0 allows"):
        validate(source, noise(5.0), pairs, gates)


def test_a_rate_that_the_pairs_cannot_measure_is_refused_first(source: ExportSource, pairs: PairSet) -> None:
    with pytest.raises(ExportError, match=r"--gate tar@1e-6=1: a FAR of 1e-6 needs at least 1,000,000 impostor pairs"):
        ExportValidator(source, pairs=pairs, gates=[Gate("tar@1e-6", 1.0)])
