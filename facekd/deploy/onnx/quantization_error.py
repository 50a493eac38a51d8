"""Which layers of an int8 file stray furthest from the float file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from facekd.deploy.onnx.graph import MULTIPLIES
from facekd.deploy.source import Form
from facekd.errors import ExportError
from facekd.models.onnx_embedder import WHY_NOT, read_graph, takes_raw_pixels

BATCH = 8


def layer_noise(float_path: Path, int8_path: Path, crops: NDArray[np.uint8]) -> list[tuple[str, float]]:
    """Signal-to-noise ratio of every quantised layer's output, ``10 log10(sum f^2 / sum (f - q)^2)`` over all crops.

    f is the output in the float file and q the one in the int8 file after rounding to 8 bits, both with a ReLU where
    one was merged into the layer. The int8 file is run as a whole: what earlier layers lost is in it, so look for where
    the figure falls from one layer to the next.

    Args:
        float_path: the float ONNX file.
        int8_path: the int8 file made from it, with QDQ nodes.
        crops: uint8 [images, size, size, 3] RGB, faces to run both on.

    Returns:
        Layer and dB, the worst first. Layers are called as in the network, or as their node where the weight's name
        does not tell; infinite where nothing was lost, minus infinite where an output is not finite.

    Raises:
        ExportError: no crop, or a file does not run on the crops.
        ModelError: a file is no ONNX file.
    """
    if len(crops) == 0:
        raise ExportError(f"the layers of {int8_path} are compared on at least one crop; give faces")
    reference = read_graph(float_path)
    layers = _layers(reference, read_graph(int8_path))
    form = Form("uint8" if takes_raw_pixels(reference) else "float")
    signal, noise = np.zeros(len(layers)), np.zeros(len(layers))
    try:
        float_session = _exposing(float_path, [layer.exact for layer in layers])
        int8_session = _exposing(int8_path, [layer.rounded for layer in layers])
        for start in range(0, len(crops), BATCH):
            feed = {reference.input[0].name: form.preprocess(crops[start : start + BATCH])}
            exact = float_session.run([layer.exact for layer in layers], feed)
            rounded = int8_session.run([layer.rounded for layer in layers], feed)
            signal += [np.square(f, dtype=np.float64).sum() for f in exact]
            noise += [np.square(np.subtract(f, q, dtype=np.float64)).sum() for f, q in zip(exact, rounded, strict=True)]
    except WHY_NOT as error:
        raise ExportError(f"{float_path} and {int8_path} cannot be compared: {error}; export them again") from error
    decibels = (_decibels(s, n) for s, n in zip(signal.tolist(), noise.tolist(), strict=True))
    return sorted(zip((layer.name for layer in layers), decibels, strict=True), key=lambda pair: pair[1])


@dataclass(frozen=True)
class _Layer:
    """A layer by name, and its output by the names of the tensors in the float and in the int8 file."""

    name: str
    exact: str
    rounded: str


def _layers(reference: onnx.GraphProto, quantised: onnx.GraphProto) -> list[_Layer]:
    """The layers of the int8 graph whose weights are int8."""
    named = {node.name: _layer_name(node) for node in reference.node}
    known = {name for node in reference.node for name in node.output}
    makers = {name: node.op_type for node in quantised.node for name in node.output}
    readers = {name: node for node in quantised.node for name in node.input}
    layers = []
    for node in quantised.node:
        if node.op_type not in MULTIPLIES or makers.get(node.input[1]) != "DequantizeLinear":
            continue
        rounded, reader = node.output[0], readers.get(node.output[0])
        if reader is not None and reader.op_type == "QuantizeLinear":
            rounded = readers[reader.output[0]].output[0]
        # The quantiser gives a ReLU's name to the layer it merged it into, and the file's output to the last rounding.
        exact = node.output[0] if node.output[0] in known else rounded
        layers.append(_Layer(named.get(node.name, node.name), exact, rounded))
    return layers


def _layer_name(node: onnx.NodeProto) -> str:
    weight = node.input[1] if len(node.input) > 1 else ""
    return weight.removesuffix(".weight").removeprefix("network.") if weight.endswith(".weight") else node.name


def _exposing(path: Path, names: list[str]) -> ort.InferenceSession:
    """A session of a file with these tensors among its outputs."""
    proto = onnx.load(str(path))
    present = {output.name for output in proto.graph.output}
    for name in names:
        if name not in present:
            proto.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _decibels(signal: float, noise: float) -> float:
    if not (math.isfinite(signal) and math.isfinite(noise)):
        return -math.inf
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf
