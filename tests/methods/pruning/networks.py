"""A converted network with redundant channels, and images for it."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.models.architectures.graph import GraphNetwork
from facekd.models.graph.description import INPUT, Node, dump_graph
from facekd.models.registry import create

SIZE = 32


def conv(name: str, source: str, inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1
         ) -> Node:
    options = {"inputs": inputs, "outputs": outputs, "kernel": kernel, "stride": stride, "padding": kernel // 2,
               "groups": groups}
    return Node(name, "convolution", (source,), options)


def bottleneck_network(width: int = 16, inner: int = 32) -> GraphNetwork:
    """A stem, one residual bottleneck with a depthwise convolution, and an embedding; random weights."""
    nodes = (
        conv("stem", INPUT, 3, width, kernel=3, stride=2), Node("stem_act", "prelu", ("stem",), {"channels": width}),
        conv("expand", "stem_act", width, inner), Node("expand_act", "relu", ("expand",), {}),
        conv("depthwise", "expand_act", inner, inner, kernel=3, groups=inner),
        Node("depthwise_act", "prelu", ("depthwise",), {"channels": inner}),
        conv("project", "depthwise_act", inner, width), Node("sum", "add", ("project", "stem_act"), {}),
        Node("mean", "pool", ("sum",), {}), Node("vector", "flatten", ("mean",), {}),
        Node("embedding", "linear", ("vector",), {"inputs": width, "outputs": 12}),
    )
    torch.manual_seed(0)
    network = create("graph", size=SIZE, outputs=12, nodes=dump_graph(nodes))
    assert isinstance(network, GraphNetwork)
    return network.eval()


def random_images(count: int = 24) -> Tensor:
    """Smooth random images, uint8 [count, 32, 32, 3]."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 255
    smooth = torch.nn.functional.interpolate(coarse, size=SIZE, mode="bilinear")
    return smooth.permute(0, 2, 3, 1).to(torch.uint8).contiguous()
