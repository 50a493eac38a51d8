"""A float ONNX file to an int8 one: static, per channel, calibrated on faces."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from facekd.errors import ExportError, ModelError
from facekd.files import atomic
from facekd.models.onnx_embedder import OnnxEmbedder, read_graph
from facekd.packaging.parity import Cosines, cosines
from facekd.packaging.quiet import quiet

PERCENTILE = 99.99


@dataclass(frozen=True)
class Quantised:
    """What came of a quantisation.

    Attributes:
        path: the int8 file.
        cosines: between its embeddings and the float file's, on all given crops.
        calibrated_on: crops the ranges were taken from.
        size_ratio: bytes of the int8 file over bytes of the float file.
    """

    path: Path
    cosines: Cosines
    calibrated_on: int
    size_ratio: float


def quantize_onnx(float_path: Path, out_path: Path, crops: NDArray[np.uint8], *, images: int = 60) -> Quantised:
    """Write the int8 version of a float ONNX file: uint8 activations, int8 weights per channel, QDQ nodes.

    Ranges are the central 99.99 % of what the activations take on, since the few outliers that set the whole range
    (MinMax) cost more accuracy than cutting them off; weights use 7 bits, as 8 would overflow on processors without
    VNNI.

    Args:
        float_path: the float file, e.g. from `export_onnx`.
        out_path: where the int8 file goes; whole or, on any error, not at all.
        crops: uint8 [n, size, size, 3] RGB, faces from the training set.
        images: how many of the crops, evenly spaced, set the ranges; time grows with it.

    Raises:
        ExportError: no crop, crops of another size, or an int8 file that does not run or gives no finite embedding.
        ModelError: the float file cannot be opened.
    """
    embedder = OnnxEmbedder(float_path)
    if len(crops) == 0 or images < 1 or crops.shape[1:] != (embedder.size, embedder.size, 3):
        raise ExportError(
            f"{float_path} is calibrated with at least one crop of {embedder.size}x{embedder.size} pixels; "
            f"given were {images} of {list(crops.shape)}; give faces of the training set"
        )
    chosen = crops[np.unique(np.linspace(0, len(crops) - 1, min(images, len(crops))).round().astype(np.int64))]
    stride = math.gcd(len(chosen), 12)  # a divisor of the count; despite the option's name every method heeds it
    with atomic(out_path) as temporary:
        with quiet():
            quantize_static(
                float_path, temporary, _Reader(embedder, chosen),
                op_types_to_quantize=_operators(float_path), quant_format=QuantFormat.QDQ,
                per_channel=True, reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.Percentile,
                extra_options={"CalibPercentile": PERCENTILE, "CalibStridedMinMax": stride},
            )
        agreement = _checked(embedder, temporary, out_path, crops)
        ratio = temporary.stat().st_size / float_path.stat().st_size
    return Quantised(out_path, agreement, len(chosen), ratio)


def _operators(path: Path) -> list[str]:
    """What to quantise: what multiplies, and ReLU where the runtime can merge it into the convolution before it.

    Where PReLU was spelled with Mul and Relu there is nothing to merge, and int8 activations would cost accuracy only.
    """
    merged = [] if any(node.op_type in ("Mul", "PRelu") for node in read_graph(path).node) else ["Relu", "Clip"]
    return ["Conv", "Gemm", "MatMul", *merged]


def _checked(embedder: OnnxEmbedder, file: Path, path: Path, crops: NDArray[np.uint8]) -> Cosines:
    try:
        quantised = OnnxEmbedder(file)
        agreement = cosines(embedder.forward(crops), quantised.forward(crops))
    except ModelError as error:
        raise ExportError(f"{path} was refused: {error}") from error
    if quantised.raw_pixels != embedder.raw_pixels:
        raise ExportError(f"{path} was refused: InsightFace would scale its pixels otherwise than the float file's")
    if not np.isfinite(agreement.mean):
        raise ExportError(f"{path} was refused: some of its embeddings are not finite; calibrate with other crops")
    return agreement


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands ONNX Runtime one scaled crop at a time; with a length and ranges, so that it can work in strides.

    In strides it keeps every activation of a few images, not of all, in memory.
    """

    def __init__(self, embedder: OnnxEmbedder, crops: NDArray[np.uint8]) -> None:
        self.embedder, self.crops = embedder, crops
        self.input = embedder.session.get_inputs()[0].name
        self.set_range(0, len(crops))

    def __len__(self) -> int:
        return len(self.crops)

    def set_range(self, start_index: int, end_index: int) -> None:
        self.left: Iterator[int] = iter(range(start_index, min(end_index, len(self.crops))))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        index = next(self.left, None)
        return None if index is None else {self.input: self.embedder.preprocess(self.crops[index : index + 1])}
