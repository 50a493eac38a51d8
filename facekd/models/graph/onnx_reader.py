"""The state of reading an ONNX graph: what its names stand for, and the nodes and weights that were read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from facekd.errors import ModelError
from facekd.models.graph.description import INPUT, Node
from facekd.models.graph.input_scaling import InputScaling
from facekd.text import path_text, short_repr

Array = NDArray[Any]


class GraphReader:
    """Collects the nodes of a network while the operators of an ONNX graph are read in their order.

    Args:
        graph: the graph with all its weights.
        path: its file, for messages.
        scaling: receives the arithmetic between the input and the first layer.

    Attributes:
        nodes: the nodes of the network.
        weights: parameters and statistics by ``NODE.parameter``.
        constants: the constants of the graph by their ONNX names.
        shapes: the ONNX names of computed shapes.
        scaling: see above.
    """

    def __init__(self, graph: onnx.GraphProto, path: Path, scaling: InputScaling) -> None:
        self.path = path
        self.scaling = scaling
        self.nodes: list[Node] = []
        self.weights: dict[str, Array] = {}
        self.shapes: set[str] = set()
        self.constants: dict[str, Array] = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        inputs = [value.name for value in graph.input if value.name not in self.constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise ModelError(f"{path_text(path)} has {len(inputs)} inputs and {len(graph.output)} outputs, a face "
                             "model has one of each; is it a detector or another kind of model?")
        self._names = {inputs[0]: INPUT}
        self._vectors: set[str] = set()

    def add(self, node: onnx.NodeProto, layer: str, inputs: tuple[str, ...], options: dict[str, Any],
            **weights: Array | None) -> None:
        """Append the layer that computes the output of an operator; weights that are None do not exist."""
        name = f"{layer}{len(self.nodes)}"
        self.nodes.append(Node(name, layer, inputs, options))
        self.rename(node, name)
        self.weights.update({f"{name}.{key}": value for key, value in weights.items() if value is not None})
        if layer in ("flatten", "linear") or inputs[0] in self._vectors:
            self._vectors.add(name)

    def rename(self, node: onnx.NodeProto, name: str) -> None:
        """Let the output of an operator be the output of one of our nodes."""
        self._names[node.output[0]] = name

    def is_vector(self, name: str) -> bool:
        """Return whether a node of ours gives [N, C], not maps."""
        return name in self._vectors

    def is_value(self, node: onnx.NodeProto, index: int = 0) -> bool:
        """Return whether an input is the image or the output of a node of ours."""
        return node.input[index] in self._names

    def value(self, node: onnx.NodeProto, index: int = 0) -> str:
        """Return our name of an input.

        Raises:
            ModelError: the input is a constant, or was not converted.
        """
        if not self.is_value(node, index):
            raise self.refusal(node, f"a {node.op_type} of a constant")
        return self._names[node.input[index]]

    def is_constant(self, node: onnx.NodeProto, index: int) -> bool:
        """Return whether an input exists and is a constant."""
        return len(node.input) > index and node.input[index] in self.constants

    def constant(self, node: onnx.NodeProto, index: int) -> Array:
        """Return an input that must be a constant.

        Raises:
            ModelError: it is computed from the image.
        """
        if not self.is_constant(node, index):
            raise self.refusal(node, f"a {node.op_type} whose weights are computed")
        return self.constants[node.input[index]]

    def channel_values(self, node: onnx.NodeProto, index: int) -> Array:
        """Return a constant with one value, or with one for each channel, as a vector.

        Raises:
            ModelError: the constant has other values for other positions.
        """
        constant = self.constant(node, index)
        if constant.size != max(constant.shape, default=1):
            raise self.refusal(node, f"a {node.op_type} by a constant that differs between positions")
        return constant.reshape(-1)

    def refusal(self, node: onnx.NodeProto, what: str) -> ModelError:
        """Return the error for an operator that has no counterpart."""
        return ModelError(f"{path_text(self.path)} holds {what} (node {short_repr(node.name)}), which cannot become a "
                          "layer that is trained; use the file as a teacher only")

    def finish(self, output: str) -> tuple[tuple[Node, ...], dict[str, Array]]:
        """Return the nodes that the output depends on, and the weights."""
        needed = {self._names.get(output)}
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
        nodes = [node for node in self.nodes if node.name in needed]
        if not nodes:
            raise ModelError(f"{path_text(self.path)} has no layers between its input and its output; use another file")
        scaled, weights = self.scaling.apply(nodes, self.weights)
        names = {node.name for node in scaled}
        return tuple(scaled), {key: np.asarray(value, np.float32) for key, value in weights.items()
                              if key.partition(".")[0] in names}
