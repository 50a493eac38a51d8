from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from facekd.api.compress.teacher import open_teacher
from facekd.errors import ModelError
from tests.fuzz.parsers.networks import recogniser


def test_a_run_has_its_route(teacher_run: Path) -> None:
    teacher = open_teacher(teacher_run, {}, "cpu")
    assert teacher.has_route and teacher.problem == "" and (teacher.size, teacher.dimension) == (32, 16)
    assert (teacher.model, teacher.model_file) == (teacher_run, teacher_run / "model.safetensors")


def test_what_an_onnx_tells_about_its_input_is_stated_from_then_on(tmp_path: Path) -> None:
    (tmp_path / "t.onnx").write_bytes(recogniser())  # its graph scales pixels from 0 to 255
    teacher = open_teacher(tmp_path / "t.onnx", {"channels": "bgr"}, "cpu")
    assert (teacher.given_options, teacher.options) == ({"channels": "bgr"}, {"pixels": "raw", "channels": "bgr"})
    assert (teacher.size, teacher.dimension, teacher.has_route, teacher.problem) == (32, 4, False, "")


def test_an_onnx_of_other_operators_cannot_be_pruned(tmp_path: Path) -> None:
    model = onnx.load_from_string(recogniser())
    model.graph.node[-1].output[0] = "product"
    model.graph.node.append(onnx.helper.make_node("Softplus", ["product"], ["embedding"], name="last"))
    onnx.save(model, tmp_path / "t.onnx")
    teacher = open_teacher(tmp_path / "t.onnx", {}, "cpu")
    assert "holds the operator Softplus" in teacher.problem and teacher.dimension == 4


def test_weights_without_their_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a file of facekd without its run; give the run folder"):
        open_teacher(tmp_path / "model.safetensors", {}, "cpu")
