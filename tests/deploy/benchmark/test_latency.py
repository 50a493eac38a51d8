from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facekd.deploy.benchmark.latency import measure_latency
from facekd.errors import ExportError
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network
from facekd.models.torch_embedder import TorchEmbedder


def test_figures_are_in_order(float_file: Path) -> None:
    latency = measure_latency(float_file, repeats=20, warmup=2)
    low, high = latency.quartiles_ms
    assert 0 < low <= latency.median_ms <= high <= latency.p95_ms
    assert latency.repeats == 20


def test_torch_runs_on_one_thread_and_gets_its_threads_back(tiny_network: Network) -> None:
    threads: list[int] = []
    handle = tiny_network.register_forward_hook(lambda *_: threads.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    measure_latency(TorchEmbedder(tiny_network), repeats=2, warmup=1)
    handle.remove()
    assert threads == [1] * 6
    assert torch.get_num_threads() == before


def test_a_session_with_more_threads_is_refused(float_file: Path) -> None:
    with pytest.raises(ExportError, match="threads=1"):
        measure_latency(OnnxEmbedder(float_file, threads=2))
