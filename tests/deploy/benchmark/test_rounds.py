from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.deploy.benchmark import latency
from facekd.deploy.benchmark.latency import PAUSE, time_interleaved
from facekd.deploy.benchmark.rounds import Candidate, benchmark_rounds, onnx_candidate, package_candidates
from facekd.deploy.package import Package
from facekd.deploy.targets.base import registered
from facekd.errors import ModelError
from facekd.models.complexity import count_macs, count_parameters
from facekd.models.embedder import Embedder
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network
from tests.deploy.conftest import UnavailableTarget


class Clock:
    """Time that passes only when a model runs or a pause is made."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.calls: list[str] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class TimedEmbedder(Embedder):
    """Takes a given number of milliseconds for each call, and records the calls."""

    def __init__(self, name: str, clock: Clock, milliseconds: Iterator[float]) -> None:
        self.name = name
        self.clock = clock
        self.milliseconds = milliseconds
        self.size = 4
        self.dimension = 2
        self.fingerprint = name

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert crops.shape == (1, 4, 4, 3)
        self.clock.calls.append(self.name)
        self.clock.now += next(self.milliseconds) / 1000
        return np.zeros((1, 2), np.float32)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: clock.now, sleep=clock.sleep))
    return clock


def steady(milliseconds: float) -> Iterator[float]:
    while True:
        yield milliseconds


def wavering(milliseconds: float, seed: int) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    while True:
        yield milliseconds * float(rng.lognormal(0, 0.3))


def make_candidate(title: str, opener: Callable[[int], Embedder]) -> Candidate:
    return Candidate(title, "m", opener, "numpy", 1, 1, 1, dict)


def make_candidates(clock: Clock, models: dict[str, Callable[[], Iterator[float]]]) -> Sequence[Candidate]:
    def opener(name: str) -> Callable[[int], Embedder]:
        return lambda threads: TimedEmbedder(f"{name}/{threads}", clock, models[name]())

    return [make_candidate(name, opener(name)) for name in models]


def test_every_model_runs_in_every_round_in_a_new_order(clock: Clock) -> None:
    models = [TimedEmbedder(name, clock, steady(1)) for name in "abc"]
    time_interleaved(models, repeats=18, warmup=2)
    measurements = clock.calls[::2]
    assert clock.calls[1::2] == measurements  # each measurement calls its model twice
    rounds = ["".join(measurements[i : i + 3]) for i in range(0, len(measurements), 3)]
    assert len(rounds) == 20 and {"".join(sorted(names)) for names in rounds} == {"abc"}
    assert len(set(rounds)) > 3


def test_only_the_second_call_of_a_measurement_counts_and_no_round_of_the_warm_up(clock: Clock) -> None:
    calls = iter([99.0, 50.0, 99.0, 60.0, 99.0, 1.0, 99.0, 2.0, 99.0, 3.0])
    (times,) = time_interleaved([TimedEmbedder("a", clock, calls)], repeats=3, warmup=2)
    np.testing.assert_allclose(times, [1, 2, 3])


def test_a_model_that_takes_twice_as_long_has_a_ratio_of_2(clock: Clock) -> None:
    candidates = make_candidates(clock, {"slow": lambda: steady(6), "fast": lambda: steady(3)})
    latencies = benchmark_rounds(candidates, "fast", [1], repeats=10)
    (slow,) = latencies["slow"]
    (fast,) = latencies["fast"]
    assert (slow.latency.median_ms, fast.latency.median_ms) == pytest.approx((6, 3))
    assert (slow.ratio, *slow.interval) == pytest.approx((2, 2, 2))
    assert (fast.ratio, *fast.interval) == (1, 1, 1)
    assert slow.to_dict()["images_per_second"] == pytest.approx(1000 / 6)


def test_the_interval_is_a_bootstrap_over_rounds(clock: Clock) -> None:
    models = {"a": lambda: wavering(2, 1), "b": lambda: wavering(1, 2)}
    (latency,) = benchmark_rounds(make_candidates(clock, models), "b", [1], repeats=200, warmup=0)["a"]
    times, reference_times = (np.array([next(values) for _ in range(400)][1::2])
                              for values in (wavering(2, 1), wavering(1, 2)))
    samples = np.random.default_rng(9).integers(0, 200, (4000, 200))
    ratios = np.median(times[samples], 1) / np.median(reference_times[samples], 1)
    assert latency.ratio == pytest.approx(np.median(times) / np.median(reference_times))
    np.testing.assert_allclose(latency.interval, np.quantile(ratios, [0.025, 0.975]), atol=0.03)


def test_each_number_of_threads_is_timed_by_itself_and_several_after_a_pause(clock: Clock) -> None:
    models = {"a": lambda: steady(1), "b": lambda: steady(2)}
    latencies = benchmark_rounds(make_candidates(clock, models), "a", [1, 4], repeats=10, warmup=1)
    assert [latency.threads for latency in latencies["b"]] == [1, 4]
    assert {name[-1] for name in clock.calls[:44]} == {"1"} and {name[-1] for name in clock.calls[44:]} == {"4"}
    assert clock.pauses == [0] * 22 + [PAUSE] * 22
    assert latencies["b"][1].ratio == pytest.approx(2)  # a pause is not timed


def test_the_files_of_a_package_are_candidates(exported_package: Package, tiny_network: Network) -> None:
    with registered(UnavailableTarget):
        candidates = package_candidates(exported_package, "old: ")
    assert [model.title for model in candidates] == [
        "old: onnx fp32", "old: onnx fp16", "old: onnx int8", "old: elsewhere fp32"
    ]
    fp32 = candidates[0]
    assert fp32.bytes == (exported_package.path / "tiny.onnx").stat().st_size
    assert (fp32.parameters, fp32.macs) == (count_parameters(tiny_network), count_macs(tiny_network, 112))
    embedder = fp32.open(2)
    assert isinstance(embedder, OnnxEmbedder) and embedder.threads == 2


def test_any_onnx_file_of_a_face_model_is_a_candidate(float_file: Path, tiny_network: Network) -> None:
    candidate = onnx_candidate(float_file)
    assert (candidate.title, candidate.bytes) == ("tiny.onnx", float_file.stat().st_size)
    assert candidate.macs == count_macs(tiny_network, 112)
    embedder = candidate.open(2)
    assert isinstance(embedder, OnnxEmbedder) and embedder.threads == 2


def test_a_candidate_is_fed_as_stated(float_file: Path) -> None:
    candidate = pickle.loads(pickle.dumps(onnx_candidate(float_file, {"pixels": "raw", "channels": "bgr"})))
    facts = candidate.open(1).input_facts()
    assert (facts["pixels"], facts["channels"]) == ("raw", "bgr")


def test_a_missing_file_is_no_candidate(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        onnx_candidate(tmp_path / "absent.onnx")
