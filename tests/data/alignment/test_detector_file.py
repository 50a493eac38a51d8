from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from facekd.data import cv2
from facekd.data.alignment.detector import Detector
from facekd.data.alignment.detector_file import DETECTOR_VARIABLE, Scrfd, YuNet, find_detector, open_detector
from facekd.data.transforms import decode
from facekd.errors import DataError, ModelError, SetupError

Image = NDArray[np.uint8]
FIVE = np.array([-1, -1, 1, -1, 0, 0, -0.5, 1, 0.5, 1], np.float32)
"""Five points around an anchor, in strides."""


def write_scrfd(path: Path, widths: tuple[int, ...] = (1, 4, 10)) -> Path:
    """Write an ONNX file with SCRFD's outputs for 64x64 px: one face at (32, 24), with the redness as its score."""
    nodes = []
    constants = []
    outputs = []

    def constant(name: str, array: NDArray[np.generic]) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    nodes.append(helper.make_node("Slice", ["image", constant("from", np.array([0])), constant("to", np.array([1])),
                                            constant("axis", np.array([1]))], ["red"]))  # fmt: skip
    nodes.append(helper.make_node("ReduceMean", ["red"], ["redness"], keepdims=0))
    for width in widths:
        for stride in (8, 16, 32):
            anchors = 2 * (64 // stride) ** 2
            values = np.zeros((anchors, width), np.float32)
            if width == 1 and stride == 8:
                values[2 * (3 * 8 + 4)] = 1.0
            elif width == 4:
                values[:] = 1.5
            elif width == 10:
                values[:] = FIVE
            name = f"out_{width}_{stride}"
            factor = "redness" if width == 1 else constant(f"one_{name}", np.array(1, np.float32))
            nodes.append(helper.make_node("Mul", [constant(f"value_{name}", values), factor], [name]))
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [anchors, width]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 64, 64])
    graph = helper.make_graph(nodes, "scrfd", [image], outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def uniform_image(side: int, color: tuple[int, int, int]) -> Image:
    return np.full((side, side, 3), color, np.uint8)


@pytest.fixture(scope="module")
def yunet(shared: Path) -> Detector:
    return open_detector(shared / "faces" / "detector" / "yunet_n_640_640.onnx")


@pytest.fixture(scope="module")
def photo(shared: Path) -> tuple[Image, NDArray[np.float32]]:
    """A photograph with one face, and its landmarks."""
    photos = shared / "faces" / "photos"
    name, flat = next(iter(json.loads((photos / "landmarks_yunet.json").read_text()).items()))
    return decode((photos / name).read_bytes(), name), np.array(flat, np.float32).reshape(5, 2)


def test_scrfd_gives_points_in_pixels_of_the_photograph(tmp_path: Path) -> None:
    detector = open_detector(write_scrfd(tmp_path / "scrfd.onnx"))
    assert isinstance(detector, Scrfd)
    (face,) = detector(uniform_image(256, (255, 0, 0)))
    center = np.array([32, 24]) * 4
    np.testing.assert_allclose(face.landmarks, center + FIVE.reshape(5, 2) * 8 * 4)
    np.testing.assert_allclose(face.box, [*(center - 48), *(center + 48)])
    assert face.score == pytest.approx(127.5 / 128)


def test_scrfd_is_given_the_right_colors(tmp_path: Path) -> None:
    assert open_detector(write_scrfd(tmp_path / "scrfd.onnx"))(uniform_image(256, (0, 0, 255))) == []


def test_yunet_finds_the_given_points(yunet: Detector, photo: tuple[Image, NDArray[np.float32]]) -> None:
    assert isinstance(yunet, YuNet)
    np.testing.assert_allclose(yunet(photo[0])[0].landmarks, photo[1], atol=0.01)


def test_yunet_finds_a_face_in_a_large_photograph(yunet: Detector, photo: tuple[Image, NDArray[np.float32]]) -> None:
    large = np.zeros((3000, 3000, 3), np.uint8)
    large[500:2500, 500:2500] = cv2.resize(photo[0], (2000, 2000))
    np.testing.assert_allclose(yunet(large)[0].landmarks, photo[1] * 8 + 500, atol=60)


def test_yunet_finds_a_face_in_a_small_picture(yunet: Detector, photo: tuple[Image, NDArray[np.float32]]) -> None:
    small = cv2.resize(photo[0], (48, 48), interpolation=cv2.INTER_AREA).astype(np.uint8)
    np.testing.assert_allclose(yunet(small)[0].landmarks, photo[1] * 48 / 250, atol=1.5)


def test_yunet_finds_nothing_where_nothing_is(yunet: Detector) -> None:
    assert yunet(uniform_image(250, (90, 120, 40))) == []


def test_an_absent_detector_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.onnx does not exist"):
        open_detector(tmp_path / "none.onnx")


def test_a_file_that_is_no_onnx_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.onnx").write_bytes(b"<html>not found</html>")
    with pytest.raises(ModelError, match=r"page\.onnx"):
        open_detector(tmp_path / "page.onnx")


@pytest.mark.parametrize("widths", [(1, 4), (1, 4, 5), (1,)])
def test_a_model_without_five_points_is_refused(tmp_path: Path, widths: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="no detector that gives five points"):
        open_detector(write_scrfd(tmp_path / "boxes.onnx", widths))


def test_a_given_detector_comes_before_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DETECTOR_VARIABLE, "b.onnx")
    assert (find_detector("a.onnx"), find_detector(None)) == (Path("a.onnx"), Path("b.onnx"))


def test_without_a_detector_the_sources_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DETECTOR_VARIABLE, raising=False)
    with pytest.raises(SetupError, match=r"give --detector FILE or set FACEKD_DETECTOR.*YuNet"):
        find_detector(None)


def test_output_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = write_scrfd(tmp_path / "m.onnx", (1, 4))
    name = onnx.load(path).graph.output[0].name.encode()
    path.write_bytes(path.read_bytes().replace(name, b"\xff" * len(name)))
    with pytest.raises(ModelError):
        open_detector(path)


def test_the_detector_of_a_model_pack_is_found(tmp_path: Path) -> None:
    write_scrfd(tmp_path / "det_10g.onnx")
    write_scrfd(tmp_path / "boxes.onnx", (1, 4))
    assert find_detector(tmp_path) == tmp_path / "det_10g.onnx"


def test_a_clone_finds_the_same_faces(tmp_path: Path, yunet: Detector, photo: tuple[Image, NDArray[np.float32]]
                                      ) -> None:
    scrfd = open_detector(write_scrfd(tmp_path / "scrfd.onnx"))
    for detector, image in ((scrfd, uniform_image(256, (255, 0, 0))), (yunet, photo[0])):
        clone = detector.clone()
        assert clone._net is not detector._net  # type: ignore[attr-defined]
        np.testing.assert_array_equal(clone(image)[0].landmarks, detector(image)[0].landmarks)


def test_a_detector_runs_where_it_is_told_or_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    path = write_scrfd(tmp_path / "scrfd.onnx")
    assert isinstance(open_detector(path, "auto"), Scrfd)
    with pytest.raises(SetupError, match="does not run on cuda"):
        open_detector(path, "cuda")
    with pytest.raises(SetupError, match="a YuNet, which runs on the CPU alone; leave --device cuda out"):
        open_detector(shared / "faces" / "detector" / "yunet_n_640_640.onnx", "cuda")
