from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from facekd.errors import ModelError
from facekd.io.insightface_pack import detector_kind, find_detector_file, find_recognizer

WriteScrfd = Callable[..., Path]


def write_graph(path: Path, shape: Sequence[int | str], *outputs: Sequence[int | str]) -> Path:
    """Write a graph of an input and outputs of some shapes; it is never run."""
    nodes = [helper.make_node("Identity", ["x"], [f"y{i}"]) for i in range(len(outputs))]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, output) for i, output in enumerate(outputs)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return path


@pytest.fixture
def pack(tmp_path: Path, write_scrfd: WriteScrfd) -> Path:
    """The files of InsightFace's buffalo_l, as small graphs of the same inputs and outputs."""
    write_graph(tmp_path / "1k3d68.onnx", ["n", 3, 192, 192], [1, 3309])
    write_graph(tmp_path / "2d106det.onnx", ["n", 3, 192, 192], [1, 212])
    write_scrfd(tmp_path / "det_10g.onnx")
    write_graph(tmp_path / "genderage.onnx", ["n", 3, 96, 96], [1, 3])
    write_graph(tmp_path / "w600k_r50.onnx", ["n", 3, 112, 112], [1, 512])
    return tmp_path


def test_detector_and_recognizer_are_found_among_five_models(pack: Path) -> None:
    assert find_recognizer(pack).name == "w600k_r50.onnx"
    assert find_detector_file(pack).name == "det_10g.onnx"


def test_a_damaged_file_beside_them_does_not_matter(pack: Path) -> None:
    (pack / "a.onnx").write_bytes(b"cut")
    assert find_recognizer(pack).name == "w600k_r50.onnx"


def test_several_are_refused(pack: Path) -> None:
    write_graph(pack / "w600k_mbf.onnx", ["n", 112, 112, 3], ["n", 512])
    with pytest.raises(ModelError, match=r"holds 2 recognizers \(w600k_mbf.onnx, w600k_r50.onnx\); name the file"):
        find_recognizer(pack)


def test_none_is_refused_and_what_cannot_be_read_is_named(pack: Path) -> None:
    (pack / "w600k_r50.onnx").write_bytes(b"cut")
    with pytest.raises(ModelError, match=r"holds no recognizer: none of its 5 \.onnx files takes crops of 112x112 .*"
                       r"w600k_r50\.onnx cannot be read; name the file"):
        find_recognizer(pack)
    (pack / "det_10g.onnx").unlink()
    with pytest.raises(ModelError, match="holds no detector: none of its 4"):
        find_detector_file(pack)


@pytest.mark.parametrize(("shape", "outputs"), [
    (["n", 3, 112, 112], [[1, 512], [1, 1]]), (["n", 3, 112, 112], [[1, 64, 7, 7]]), (["n", 3, 128, 128], [[1, 512]]),
    (["n", 1, 112, 112], [[1, 512]]), (["n", 3 * 112 * 112], [[1, 512]]),
])
def test_other_graphs_are_no_recognizers(tmp_path: Path, shape: list[int | str], outputs: list[list[int | str]]
                                         ) -> None:
    write_graph(tmp_path / "m.onnx", shape, *outputs)
    with pytest.raises(ModelError, match="no recognizer"):
        find_recognizer(tmp_path)


def test_the_given_files_are_what_they_are(shared: Path) -> None:
    assert find_recognizer(shared / "faces" / "teacher").name == "mobilefacenet_128d.onnx"
    assert detector_kind(find_detector_file(shared / "faces" / "detector")) == "yunet"
