from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facekd.deploy.benchmark import memory
from facekd.deploy.benchmark.memory import peak_memory
from facekd.deploy.benchmark.rounds import onnx_candidate
from facekd.errors import ExportError

RUNTIME = "onnxruntime"


def write_linear_model(path: Path, outputs: int) -> Path:
    """Write a model of 3 x 16 x 16 x ``outputs`` float32 weights."""
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    weights = np.random.default_rng(0).random((768, outputs), np.float32)
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", outputs])],
                              [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux reports peak resident memory")
def test_the_memory_of_the_model_is_counted_and_that_of_the_runtime_is_not(tmp_path: Path) -> None:
    candidates = [onnx_candidate(write_linear_model(tmp_path / f"{n}.onnx", n)) for n in (16, 16384)]
    light, heavy = (peak_memory(candidate.open, RUNTIME) for candidate in candidates)
    assert light is not None and heavy is not None
    assert 0 < light < 32e6  # torch and ONNX Runtime, loaded before, are some 200 MB
    assert heavy - light > 0.9 * 768 * 16384 * 4


def test_a_system_that_does_not_report_memory_gives_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PROCESS", tmp_path)
    assert peak_memory(onnx_candidate(write_linear_model(tmp_path / "m.onnx", 16)).open, RUNTIME) is None


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux reports peak resident memory")
def test_a_process_that_died_is_reported_in_one_sentence() -> None:
    with pytest.raises(ExportError, match="the process that measures memory died"):
        peak_memory(os._exit, RUNTIME)
