"""Static int8 quantization of a float32 ONNX file: per channel, calibrated on faces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from facekd.deploy.onnx.graph import SCALING_NODES, WEIGHTED_OPERATORS
from facekd.deploy.suppress_output import suppress_output
from facekd.io.onnx_file import read_model

PERCENTILE = 99.99
MAX_STRIDE = 12
FloatLayers = Literal["none", "ends"]
Preprocess = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def quantize_static_int8(
    float_path: Path, out_path: Path, crops: NDArray[np.uint8], preprocess: Preprocess,
    float_layers: FloatLayers = "none",
) -> None:
    """Write the int8 version of a float32 ONNX file: uint8 activations, int8 weights per channel, QDQ nodes.

    Activation ranges are the central 99.99 % of the observed values, since the few outliers that would set the whole
    range (MinMax) cost more accuracy than clipping them. Weights use 7 bits, since 8 bits would overflow on processors
    without VNNI.

    Args:
        float_path: the float32 file.
        out_path: the int8 file to write.
        crops: uint8 [n, size, size, 3] RGB faces that set the ranges; time grows with their number.
        preprocess: converts crops to the input of the float32 file.
        float_layers: the layers with weights that stay in float32: ``none``, or ``ends``, the first and the last.
    """
    graph = read_model(float_path).graph
    layers = [node.name for node in graph.node if node.op_type in WEIGHTED_OPERATORS]
    # A stride must divide the number of crops. Despite the option's name, every calibration method uses it.
    stride = math.gcd(len(crops), MAX_STRIDE)
    with suppress_output():
        quantize_static(
            float_path, out_path, _CropReader(graph.input[0].name, crops, preprocess),
            op_types_to_quantize=_operators_to_quantize(graph),
            nodes_to_exclude=[layers[0], layers[-1]] if float_layers == "ends" else [],
            quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE, "CalibStridedMinMax": stride},
        )


def _operators_to_quantize(graph: GraphProto) -> list[str]:
    """Return the operators with weights, and ReLU if the runtime can merge it into the convolution before it.

    A PReLU that is split into Mul and Relu cannot be merged, and its int8 activations would only cost accuracy.
    """
    has_prelu = any(n.op_type == "PRelu" or (n.op_type == "Mul" and n.name != SCALING_NODES[1]) for n in graph.node)
    return [*WEIGHTED_OPERATORS, *([] if has_prelu else ["Relu", "Clip"])]


class _CropReader(CalibrationDataReader):  # type: ignore[misc]
    """Gives ONNX Runtime one preprocessed crop at a time; its length and ranges allow calibration in strides.

    In strides, ONNX Runtime holds the activations of a few images in memory, not those of all.
    """

    def __init__(self, name: str, crops: NDArray[np.uint8], preprocess: Preprocess) -> None:
        self.input_name = name
        self.crops = crops
        self.preprocess = preprocess
        self.set_range(0, len(crops))

    def __len__(self) -> int:
        return len(self.crops)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Restrict the crops to a range; ONNX Runtime calls this for each stride."""
        self.indices: Iterator[int] = iter(range(start_index, min(end_index, len(self.crops))))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the input for the next crop; None after the last one."""
        index = next(self.indices, None)
        return None if index is None else {self.input_name: self.preprocess(self.crops[index : index + 1])}
