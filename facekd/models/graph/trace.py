"""Our own architectures as graphs, so that channels can be removed from them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.models.architectures.graph import GraphNetwork
from facekd.models.graph.description import INPUT, Node, dump_graph
from facekd.models.registry import Network, create


def graph_from_network(network: Network) -> GraphNetwork:
    """Return the network as a graph, with the same weights and outputs; a `GraphNetwork` is returned as it is.

    Raises:
        ModelError: the network has a layer that graphs do not have; the message names it.
    """
    if isinstance(network, GraphNetwork):
        return network
    nodes, modules = trace_layers(network)
    spec = network.spec
    graph = create("graph", size=spec.size, outputs=spec.outputs, normalization=spec.normalization,
                   nodes=dump_graph(nodes))
    assert isinstance(graph, GraphNetwork)
    for node, module in modules.items():
        graph.layers[node].load_state_dict(module.state_dict())
    return graph.train(network.training)


def trace_layers(network: Network) -> tuple[Sequence[Node], Mapping[str, nn.Module]]:
    """Return the graph of a network, and the network's own module of each node that has one, by the node's name.

    Raises:
        ModelError: see `graph_from_network`.
    """
    if isinstance(network, GraphNetwork):
        return network.nodes, dict(network.layers.items())
    reader = _TraceReader(network)
    for node in fx.symbolic_trace(network).graph.nodes:
        reader.read(node)
    return reader.nodes, reader.modules


class _TraceReader:
    """Collects the nodes of a graph while those of a trace are read in their order."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.nodes: list[Node] = []
        self.modules: dict[str, nn.Module] = {}
        self._names: dict[fx.Node, str] = {}

    def read(self, node: fx.Node) -> None:
        inputs = tuple(self._names[value] for value in node.args if isinstance(value, fx.Node) and value in self._names)
        match node.op:
            case "placeholder":
                self._names[node] = INPUT
            case "output":
                pass
            case "call_module":
                self._module(node, inputs)
            case _ if node.target in (operator.add, operator.iadd, torch.add) and len(inputs) == 2:
                self._add(node, "add", inputs, {})
            case _ if node.target in (torch.flatten, "flatten"):
                self._add(node, "flatten", inputs, {})
            case _ if node.target in (torch.relu, functional.relu, "relu"):
                self._add(node, "relu", inputs, {})
            case _ if node.target is functional.adaptive_avg_pool2d and node.args[1:] in ((1,), ((1, 1),)):
                self._add(node, "pool", inputs, {})
            case _:
                raise self._refusal(node.target)

    def _module(self, node: fx.Node, inputs: tuple[str, ...]) -> None:
        module = self.network.get_submodule(str(node.target))
        if isinstance(module, (nn.Identity, nn.Dropout)):
            self._names[node] = inputs[0]
            return
        describe = _DESCRIPTIONS.get(type(module))
        if describe is None:
            raise self._refusal(type(module).__name__)
        layer, options = describe(module)
        self._add(node, layer, inputs, options)
        self.modules[self.nodes[-1].name] = module

    def _add(self, node: fx.Node, layer: str, inputs: tuple[str, ...], options: dict[str, Any]) -> None:
        name = f"{layer}{len(self.nodes)}"
        self.nodes.append(Node(name, layer, inputs, options))
        self._names[node] = name

    def _refusal(self, what: object) -> ModelError:
        name = getattr(what, "__name__", what)
        return ModelError(f"{self.network.spec.name} has a layer '{name}', which a graph does not have; use another "
                          "network")


def _convolution(module: Any) -> tuple[str, dict[str, Any]]:
    padding = module.padding
    uniform = all(len(set(values)) == 1 for values in (module.kernel_size, module.stride, padding))
    if isinstance(padding, str) or not uniform or set(module.dilation) != {1}:
        raise ModelError("a graph has no convolution that is not square, or is dilated; use another network")
    return "convolution", {"inputs": module.in_channels, "outputs": module.out_channels,
                           "kernel": module.kernel_size[0], "stride": module.stride[0], "padding": padding[0],
                           "groups": module.groups, "bias": module.bias is not None}


def _linear(module: Any) -> tuple[str, dict[str, Any]]:
    return "linear", {"inputs": module.in_features, "outputs": module.out_features, "bias": module.bias is not None}


def _batchnorm(module: Any) -> tuple[str, dict[str, Any]]:
    return "batchnorm", {"channels": module.num_features, "eps": module.eps, "flat": isinstance(module, nn.BatchNorm1d)}


def _pool(module: Any) -> tuple[str, dict[str, Any]]:
    if module.output_size not in (1, (1, 1)):
        raise ModelError("a graph has no pooling to more than one value; use another network")
    return "pool", {}


_DESCRIPTIONS: dict[type[nn.Module], Callable[[Any], tuple[str, dict[str, Any]]]] = {
    nn.Conv2d: _convolution, nn.Linear: _linear, nn.BatchNorm1d: _batchnorm, nn.BatchNorm2d: _batchnorm,
    nn.PReLU: lambda module: ("prelu", {"channels": module.num_parameters}),
    nn.ReLU: lambda module: ("relu", {}), nn.AdaptiveAvgPool2d: _pool,
    nn.Hardtanh: lambda module: ("clip", {"low": module.min_val, "high": module.max_val}),
    nn.ReLU6: lambda module: ("clip", {"low": 0.0, "high": 6.0}), nn.Flatten: lambda module: ("flatten", {}),
}
"""The layer and the options of each kind of module."""
