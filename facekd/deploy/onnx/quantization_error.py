"""The quantization error of each layer of an int8 ONNX file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from facekd.deploy.onnx.graph import WEIGHTED_OPERATORS
from facekd.deploy.source import ExportFormat
from facekd.errors import ExportError
from facekd.io.onnx_file import read_model
from facekd.models.onnx_embedder import ONNX_RUNTIME_ERRORS
from facekd.models.onnx_input import takes_raw_by_names

BATCH_SIZE = 8


def layer_snr(float_path: Path, int8_path: Path, crops: NDArray[np.uint8]) -> list[tuple[str, float]]:
    """Compute the signal-to-noise ratio of the output of each quantized layer over all crops.

    The ratio is ``10 log10(sum f^2 / sum (f - q)^2)``, where f is the output in the float32 file and q the output in
    the int8 file after rounding to 8 bits, both with a ReLU if one is merged into the layer. The int8 file runs as a
    whole, so q contains the errors of earlier layers: look for layers where the ratio falls below that of the layer
    before.

    Args:
        float_path: the float32 ONNX file.
        int8_path: the int8 file made from it, with QDQ nodes.
        crops: uint8 [images, size, size, 3] RGB faces to run both files on.

    Returns:
        Layer and ratio in dB, the lowest ratio first. A layer has its name in the network, or that of its node if the
        name of the weight does not contain it. The ratio is infinite if both outputs are equal, and minus infinite if
        an output is not finite.

    Raises:
        ExportError: there is no crop, or a file does not run on the crops.
        ModelError: a file is not an ONNX file.
    """
    if len(crops) == 0:
        raise ExportError(f"the layers of {int8_path} are compared on at least one crop; give faces")
    reference = read_model(float_path).graph
    layers = _quantized_layers(reference, read_model(int8_path).graph)
    float_outputs = [layer.float_output for layer in layers]
    int8_outputs = [layer.int8_output for layer in layers]
    input_format = ExportFormat("uint8" if takes_raw_by_names(reference) else "float")
    signal = np.zeros(len(layers))
    noise = np.zeros(len(layers))
    try:
        float_session = _session_with_outputs(float_path, float_outputs)
        int8_session = _session_with_outputs(int8_path, int8_outputs)
        for start in range(0, len(crops), BATCH_SIZE):
            feed = {reference.input[0].name: input_format.preprocess(crops[start : start + BATCH_SIZE])}
            exact = float_session.run(float_outputs, feed)
            rounded = int8_session.run(int8_outputs, feed)
            signal += [np.square(f, dtype=np.float64).sum() for f in exact]
            noise += [np.square(np.subtract(f, q, dtype=np.float64)).sum() for f, q in zip(exact, rounded, strict=True)]
    except ONNX_RUNTIME_ERRORS as error:
        raise ExportError(f"{float_path} and {int8_path} cannot be compared: {error}; export them again") from error
    decibels = (_decibels(s, n) for s, n in zip(signal.tolist(), noise.tolist(), strict=True))
    return sorted(zip((layer.name for layer in layers), decibels, strict=True), key=lambda pair: pair[1])


@dataclass(frozen=True)
class _Layer:
    """A layer, and the names of the tensors with its output in the float32 and in the int8 file."""

    name: str
    float_output: str
    int8_output: str


def _quantized_layers(reference: onnx.GraphProto, quantized: onnx.GraphProto) -> list[_Layer]:
    """Return the layers of the int8 graph that have int8 weights."""
    layer_names = {node.name: _layer_name(node) for node in reference.node}
    float_tensors = {name for node in reference.node for name in node.output}
    producers = {name: node.op_type for node in quantized.node for name in node.output}
    consumers = {name: node for node in quantized.node for name in node.input}
    layers = []
    for node in quantized.node:
        if node.op_type not in WEIGHTED_OPERATORS or producers.get(node.input[1]) != "DequantizeLinear":
            continue
        rounded = node.output[0]
        consumer = consumers.get(rounded)
        if consumer is not None and consumer.op_type == "QuantizeLinear":
            rounded = consumers[consumer.output[0]].output[0]
        # The quantizer names the output of a layer with a merged ReLU as the ReLU's output, and the last rounding as
        # the output of the file; only the latter leaves a layer whose output has no name of the float32 file.
        exact = node.output[0] if node.output[0] in float_tensors else rounded
        layers.append(_Layer(layer_names.get(node.name, node.name), exact, rounded))
    return layers


def _layer_name(node: onnx.NodeProto) -> str:
    """Return the layer's name in the network, or the node's name if the weight does not contain it."""
    weight = node.input[1] if len(node.input) > 1 else ""
    return weight.removesuffix(".weight").removeprefix("network.") if weight.endswith(".weight") else node.name


def _session_with_outputs(path: Path, names: list[str]) -> ort.InferenceSession:
    """Open a session of a file that gives these tensors as additional outputs."""
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
    """Return the signal-to-noise ratio in dB."""
    if not (math.isfinite(signal) and math.isfinite(noise)):
        return -math.inf
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf
