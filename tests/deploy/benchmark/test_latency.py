from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facekd.deploy.benchmark.latency import latency
from facekd.errors import ExportError
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network
from facekd.models.torch_embedder import TorchEmbedder


def test_figures_are_in_order(exported: Path) -> None:
    found = latency(exported, repeats=20, warmup=2)
    low, high = found.quartiles_ms
    assert 0 < low <= found.median_ms <= high <= found.p95_ms
    assert found.repeats == 20


def test_torch_runs_on_one_thread_and_gets_its_threads_back(tiny: Network) -> None:
    seen: list[int] = []
    handle = tiny.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    latency(TorchEmbedder(tiny), repeats=2, warmup=1)
    handle.remove()
    assert seen == [1] * 6
    assert torch.get_num_threads() == before


def test_a_session_with_more_threads_is_refused(exported: Path) -> None:
    with pytest.raises(ExportError, match="threads=1"):
        latency(OnnxEmbedder(exported, threads=2))
