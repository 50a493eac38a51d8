"""A network that is described by its graph: the form of foreign recognizers and of parts of a teacher."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily

from facekd.errors import ModelError
from facekd.models.graph.description import INPUT, Node, dump_graph, parse_graph
from facekd.models.registry import Network, register


class GraphNetwork(Network):
    """Runs the layers of a graph in the order of its nodes.

    Args:
        size: side of the input in pixels.
        outputs: length of the output.
        nodes: the graph; the last node is the output.

    Attributes:
        nodes: the graph.
        layers: the layer of each node by its name.
        shapes: the shape of the output of each node for one image, by its name.

    Raises:
        ModelError: the layers do not fit together, or do not give ``outputs`` numbers an image.
    """

    def __init__(self, size: int, outputs: int, nodes: tuple[Node, ...]) -> None:
        super().__init__()
        self.nodes = nodes
        self.layers = nn.ModuleDict({node.name: node.build() for node in nodes})
        shapes = self.shapes = self._shapes(size)
        if shapes[nodes[-1].name] != (outputs,):
            raise ModelError(f"graph: its last node gives {list(shapes[nodes[-1].name])} an image, not [{outputs}]")
        # The last maps before each reduction of the side, and before the first layer that is no map.
        ends = [node.inputs[0] for node in nodes
                if node.inputs[0] in shapes and len(shapes[node.inputs[0]]) == 3
                and shapes[node.inputs[0]][1:] != shapes[node.name][1:]]
        self.stages = tuple(f"layers.{name}" for name in dict.fromkeys(ends))
        self._last_uses = {name: node.name for node in nodes for name in node.inputs}
        weighted = [node.name for node in nodes if node.layer in ("convolution", "linear")]
        self.final_layer = f"layers.{weighted[-1]}" if weighted else ""

    def forward(self, x: Tensor) -> Tensor:
        """Map float [N, 3, size, size] to float [N, outputs]."""
        values = {INPUT: x}
        for node in self.nodes:
            values[node.name] = self.layers[node.name](*(values[name] for name in node.inputs))
            for name in node.inputs:
                if self._last_uses[name] == node.name:
                    values.pop(name, None)  # frees its memory where no gradient needs it
        return values[self.nodes[-1].name]

    @torch.no_grad()
    @unset_fake_temporarily()  # the estimate of memory builds networks of fake tensors, which know no values of "meta"
    def _shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of each node's output for one image, found on torch's ``meta`` device."""
        values = {INPUT: torch.empty(2, 3, size, size, device="meta")}
        for node in self.nodes:
            with torch.device("meta"):
                layer = node.build().eval()
            try:
                values[node.name] = layer(*(values[name] for name in node.inputs))
            except (RuntimeError, ValueError) as error:
                raise ModelError(f"graph: {node.name} does not fit its inputs: {error}") from error
        return {name: tuple(value.shape[1:]) for name, value in values.items() if name != INPUT}


def _example(outputs: int) -> tuple[Node, ...]:
    """Return a small graph, which a network without a description has."""
    return parse_graph(dump_graph((
        Node("stem", "convolution", (INPUT,), {"inputs": 3, "outputs": 8, "kernel": 3, "stride": 2, "padding": 1}),
        Node("activation", "prelu", ("stem",), {"channels": 8}),
        Node("maps", "convolution", ("activation",), {"inputs": 8, "outputs": 16, "kernel": 3, "stride": 2}),
        Node("mean", "pool", ("maps",), {}),
        Node("vector", "flatten", ("mean",), {}),
        Node("embedding", "linear", ("vector",), {"inputs": 16, "outputs": outputs}),
    )))


@register
def graph(size: int, outputs: int, *, nodes: str = "") -> Network:
    """A network of any graph, see `facekd.models.graph.description`; by default a small example."""
    return GraphNetwork(size, outputs, parse_graph(nodes) if nodes else _example(outputs))
