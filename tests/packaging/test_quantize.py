from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from facekd.errors import ExportError
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.packaging.onnx import OnnxExport
from facekd.packaging.quantize import Quantised, quantize_onnx


@pytest.fixture(scope="module")
def quantised(exported: OnnxExport, crops: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Quantised:
    return quantize_onnx(exported.path, tmp_path_factory.mktemp("int8") / "m.int8.onnx", crops, images=15)


def test_the_int8_file_runs_at_any_batch(quantised: Quantised, crops: NDArray[np.uint8]) -> None:
    embedder = OnnxEmbedder(quantised.path)
    np.testing.assert_allclose(embedder.forward(crops[:7])[3:4], embedder.forward(crops[3:4]), rtol=1e-5, atol=1e-5)


def test_it_stays_near_the_float_file(quantised: Quantised) -> None:
    assert quantised.cosines.images == 24
    assert quantised.cosines.mean > 0.98


def test_weights_are_int8_of_seven_bits_one_scale_a_channel(quantised: Quantised) -> None:
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(str(quantised.path)).graph.initializer}
    weights = {name: w for name, w in tensors.items() if w.dtype == np.int8 and w.ndim == 4}
    assert len(weights) == 2
    assert all(np.abs(w.astype(np.int64)).max() <= 64 for w in weights.values())
    assert all(len(tensors[name.replace("_quantized", "_scale")]) == len(w) for name, w in weights.items())


def test_only_the_asked_number_of_crops_sets_the_ranges(quantised: Quantised) -> None:
    assert quantised.calibrated_on == 15


def test_nothing_is_printed(
    exported: OnnxExport, crops: NDArray[np.uint8], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    quantize_onnx(exported.path, tmp_path / "m.onnx", crops, images=2)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shape", [(0, 112, 112, 3), (4, 64, 64, 3)])
def test_unusable_crops_are_refused(exported: OnnxExport, tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ExportError, match="112x112"):
        quantize_onnx(exported.path, tmp_path / "m.onnx", np.zeros(shape, np.uint8))
    assert list(tmp_path.iterdir()) == []
