from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.deploy.benchmark import latency
from facekd.deploy.benchmark.latency import PAUSE, in_turns
from facekd.deploy.benchmark.race import Contender, contenders, foreign, race
from facekd.deploy.package import Package
from facekd.deploy.targets.base import _TARGETS
from facekd.errors import ModelError
from facekd.models.complexity import macs, parameters
from facekd.models.embedder import Embedder
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network
from tests.deploy.conftest import Elsewhere


class Clock:
    """Time that passes only when a model runs or a pause is made."""

    def __init__(self) -> None:
        self.now, self.pauses, self.calls = 0.0, list[float](), list[str]()

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class Timer(Embedder):
    """Takes given milliseconds, call after call, and keeps note of who was called."""

    def __init__(self, name: str, clock: Clock, milliseconds: Iterator[float]) -> None:
        self.name, self.clock, self.milliseconds = name, clock, milliseconds
        self.size, self.dimension, self.fingerprint = 4, 2, name

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


def contender(title: str, opened: Callable[[int], Embedder]) -> Contender:
    return Contender(title, "m", opened, "numpy", 1, 1, 1, dict)


def field(clock: Clock, models: dict[str, Callable[[], Iterator[float]]]) -> Sequence[Contender]:
    def opener(name: str) -> Callable[[int], Embedder]:
        return lambda threads: Timer(f"{name}/{threads}", clock, models[name]())

    return [contender(name, opener(name)) for name in models]


def test_every_model_has_its_turn_in_every_round_in_an_order_drawn_anew(clock: Clock) -> None:
    models = [Timer(name, clock, steady(1)) for name in "abc"]
    in_turns(models, repeats=18, warmup=2)
    turns = clock.calls[::2]
    assert clock.calls[1::2] == turns  # the second call of a turn is the one that is timed
    rounds = ["".join(turns[i : i + 3]) for i in range(0, len(turns), 3)]
    assert len(rounds) == 20 and {"".join(sorted(one)) for one in rounds} == {"abc"}
    assert len(set(rounds)) > 3


def test_only_the_second_call_of_a_turn_counts_and_no_round_of_the_warm_up(clock: Clock) -> None:
    calls = iter([99.0, 50.0, 99.0, 60.0, 99.0, 1.0, 99.0, 2.0, 99.0, 3.0])
    (times,) = in_turns([Timer("a", clock, calls)], repeats=3, warmup=2)
    np.testing.assert_allclose(times, [1, 2, 3])


def test_a_model_that_takes_twice_as_long_has_a_ratio_of_2(clock: Clock) -> None:
    timed = race(field(clock, {"slow": lambda: steady(6), "fast": lambda: steady(3)}), "fast", [1], repeats=10)
    (slow,), (fast,) = timed["slow"], timed["fast"]
    assert (slow.latency.median_ms, fast.latency.median_ms) == pytest.approx((6, 3))
    assert (slow.ratio, *slow.interval) == pytest.approx((2, 2, 2))
    assert (fast.ratio, *fast.interval) == (1, 1, 1)
    assert slow.to_dict()["images_per_second"] == pytest.approx(1000 / 6)


def test_the_interval_is_a_bootstrap_over_rounds(clock: Clock) -> None:
    models = {"a": lambda: wavering(2, 1), "b": lambda: wavering(1, 2)}
    (found,) = race(field(clock, models), "b", [1], repeats=200, warmup=0)["a"]
    rng, (own, base) = np.random.default_rng(9), (np.array([next(g) for _ in range(400)][1::2])
                                                  for g in (wavering(2, 1), wavering(1, 2)))
    drawn = rng.integers(0, 200, (4000, 200))
    wanted = np.quantile(np.median(own[drawn], 1) / np.median(base[drawn], 1), [0.025, 0.975])
    assert found.ratio == pytest.approx(np.median(own) / np.median(base))
    np.testing.assert_allclose(found.interval, wanted, atol=0.03)


def test_each_number_of_threads_is_timed_by_itself_and_several_after_a_pause(clock: Clock) -> None:
    models = {"a": lambda: steady(1), "b": lambda: steady(2)}
    timed = race(field(clock, models), "a", [1, 4], repeats=10, warmup=1)
    assert [found.threads for found in timed["b"]] == [1, 4]
    assert {name[-1] for name in clock.calls[:44]} == {"1"} and {name[-1] for name in clock.calls[44:]} == {"4"}
    assert clock.pauses == [0] * 22 + [PAUSE] * 22
    assert timed["b"][1].ratio == pytest.approx(2)  # a pause is not timed


def test_the_files_of_a_package_are_contenders(written: Package, tiny: Network,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_TARGETS, "elsewhere", Elsewhere)
    found = contenders(written, "old: ")
    assert [model.title for model in found] == [
        "old: onnx fp32", "old: onnx fp16", "old: onnx int8", "old: elsewhere fp32"
    ]
    whole = found[0]
    assert whole.bytes == (written.path / "tiny.onnx").stat().st_size
    assert (whole.parameters, whole.macs) == (parameters(tiny), macs(tiny, 112))
    opened = whole.open(2)
    assert isinstance(opened, OnnxEmbedder) and opened.threads == 2


def test_a_file_of_anybody_is_a_contender(exported: Path, tiny: Network) -> None:
    found = foreign(exported)
    assert (found.title, found.bytes, found.macs) == ("tiny.onnx", exported.stat().st_size, macs(tiny, 112))
    opened = found.open(2)
    assert isinstance(opened, OnnxEmbedder) and opened.threads == 2


def test_what_is_no_face_model_is_no_contender(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        foreign(tmp_path / "absent.onnx")
