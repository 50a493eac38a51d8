from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from facekd.deploy.onnx.quantize import quantize_static_int8
from facekd.deploy.source import ExportFormat
from facekd.deploy.validation_gate import summarize_cosines
from facekd.models.onnx_embedder import OnnxEmbedder


@pytest.fixture(scope="module")
def int8_file(float_file: Path, crops: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "m.int8.onnx"
    quantize_static_int8(float_file, path, crops[:15], ExportFormat().preprocess)
    return path


def test_the_int8_file_runs_at_any_batch(int8_file: Path, crops: NDArray[np.uint8]) -> None:
    embedder = OnnxEmbedder(int8_file)
    np.testing.assert_allclose(embedder.forward(crops[:7])[3:4], embedder.forward(crops[3:4]), rtol=1e-5, atol=1e-5)


def test_it_stays_near_the_float_file(float_file: Path, int8_file: Path, crops: NDArray[np.uint8]) -> None:
    expected = OnnxEmbedder(float_file).forward(crops)
    assert summarize_cosines(expected, OnnxEmbedder(int8_file).forward(crops)).mean > 0.98


def test_weights_are_int8_of_seven_bits_one_scale_a_channel(int8_file: Path) -> None:
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(str(int8_file)).graph.initializer}
    weights = {name: w for name, w in tensors.items() if w.dtype == np.int8 and w.ndim == 4}
    assert len(weights) == 2
    assert all(np.abs(w.astype(np.int64)).max() <= 64 for w in weights.values())
    assert all(len(tensors[name.replace("_quantized", "_scale")]) == len(w) for name, w in weights.items())


@pytest.mark.parametrize("images", [1, 5, 24])
def test_any_number_of_crops_is_accepted_and_nothing_is_printed(
    float_file: Path, crops: NDArray[np.uint8], tmp_path: Path, capfd: pytest.CaptureFixture[str], images: int
) -> None:
    quantize_static_int8(float_file, tmp_path / "m.onnx", crops[:images], ExportFormat().preprocess)
    assert capfd.readouterr() == ("", "")
    assert OnnxEmbedder(tmp_path / "m.onnx").dimension == 8
