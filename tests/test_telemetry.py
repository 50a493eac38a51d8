"""ONNX Runtime records nothing about the user's models: 1.29 and later would, where facekd did not switch it off."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import os, sys
import facekd
{first}
from facekd.models.loading import load
model = load(sys.argv[1])
import numpy as np
model(np.zeros((1, model.size, model.size, 3), np.uint8))
opened = [os.readlink(f"/proc/self/fd/{{number}}") for number in os.listdir("/proc/self/fd")
          if os.path.islink(f"/proc/self/fd/{{number}}")]
print(os.environ["ORT_DISABLE_TELEMETRY"], [name for name in opened if "onnxruntime" in name and name.endswith(".db")])
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files can be listed on Linux only")
@pytest.mark.parametrize("first", ["", "import insightface"])
def test_no_database_of_telemetry_is_opened(tmp_path: Path, first: str, tiny_onnx: Path) -> None:
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("CI", "ORT_DISABLE_TELEMETRY") and not name.startswith("XDG_")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    completed = subprocess.run([sys.executable, "-c", PROGRAM.format(first=first), str(tiny_onnx)], env=environment,
                               capture_output=True, text=True, timeout=120, check=False)
    assert completed.stdout == "1 []\n", completed.stderr
    assert [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name] == []


def test_the_users_own_setting_stays(tmp_path: Path) -> None:
    program = "import os, facekd; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "0", "PYTHONPATH": str(ROOT)}
    completed = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True,
                               timeout=60, check=True)
    assert completed.stdout == "0\n"


@pytest.fixture
def tiny_onnx(tmp_path: Path) -> Path:
    import onnx
    from onnx import TensorProto, helper

    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["a"]), helper.make_node("Flatten", ["a"], ["y"])]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 32])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "t.onnx")
    return tmp_path / "t.onnx"
