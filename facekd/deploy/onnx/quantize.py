"""A float ONNX file to an int8 one: static, per channel, calibrated on faces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from facekd.deploy.onnx.graph import MULTIPLIES, SCALING
from facekd.deploy.quiet import quiet
from facekd.models.onnx_embedder import read_graph

PERCENTILE = 99.99
Keep = Literal["none", "ends"]
Preprocess = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def static_int8(
    float_path: Path, out_path: Path, crops: NDArray[np.uint8], preprocess: Preprocess, keep: Keep = "none"
) -> None:
    """Write the int8 version of a float ONNX file: uint8 activations, int8 weights per channel, QDQ nodes.

    Ranges are the central 99.99 % of what the activations take on, since the few outliers that set the whole range
    (MinMax) cost more accuracy than cutting them off; weights use 7 bits, as 8 would overflow on processors without
    VNNI.

    Args:
        float_path: the float file.
        out_path: where the int8 file goes.
        crops: uint8 [n, size, size, 3] RGB, faces that set the ranges; time grows with their number.
        preprocess: from crops to what the float file takes.
        keep: the layers with weights that stay in float: ``none``, or ``ends``, the first and the last.
    """
    graph = read_graph(float_path)
    layers = [node.name for node in graph.node if node.op_type in MULTIPLIES]
    stride = math.gcd(len(crops), 12)  # a divisor of the count; despite the option's name every method heeds it
    with quiet():
        quantize_static(
            float_path, out_path, _Reader(graph.input[0].name, crops, preprocess),
            op_types_to_quantize=_operators(graph), nodes_to_exclude=[layers[0], layers[-1]] if keep == "ends" else [],
            quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE, "CalibStridedMinMax": stride},
        )


def _operators(graph: GraphProto) -> list[str]:
    """What to quantise: what multiplies, and ReLU where the runtime can merge it into the convolution before it.

    Where PReLU was spelled with Mul and Relu there is nothing to merge, and int8 activations would cost accuracy only.
    """
    slopes = any(n.op_type == "PRelu" or (n.op_type == "Mul" and n.name != SCALING[1]) for n in graph.node)
    return [*MULTIPLIES, *([] if slopes else ["Relu", "Clip"])]


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands ONNX Runtime one scaled crop at a time; with a length and ranges, so that it can work in strides.

    In strides it keeps every activation of a few images, not of all, in memory.
    """

    def __init__(self, name: str, crops: NDArray[np.uint8], preprocess: Preprocess) -> None:
        self.input, self.crops, self.preprocess = name, crops, preprocess
        self.set_range(0, len(crops))

    def __len__(self) -> int:
        return len(self.crops)

    def set_range(self, start_index: int, end_index: int) -> None:
        self.left: Iterator[int] = iter(range(start_index, min(end_index, len(self.crops))))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        index = next(self.left, None)
        return None if index is None else {self.input: self.preprocess(self.crops[index : index + 1])}
