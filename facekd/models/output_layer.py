"""A linear layer behind a network, which maps its embedding to the space of another network, e.g. of its teacher."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from facekd.models.registry import Network


class OutputLayer(Network):
    """A network and the layer behind it; `facekd.models.registry.build` makes it of a spec with an ``embedding``.

    Args:
        base: the network; its output has the length ``base.spec.outputs``.
        outputs: length of the output.

    Attributes:
        base: the network.
        output: the layer, without bias, so that it does not move the origin from which cosines are taken.
    """

    final_layer = "output"

    def __init__(self, base: Network, outputs: int) -> None:
        super().__init__()
        self.base = base
        self.output = nn.Linear(base.spec.outputs, outputs, bias=False)
        self.stages = tuple(f"base.{stage}" for stage in base.stages)
        self.spec = replace(base.spec, outputs=outputs, embedding=base.spec.outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map float [N, 3, size, size] to float [N, outputs]."""
        output: Tensor = self.output(self.base(x))
        return output


def with_outputs(network: Network, outputs: int) -> Network:
    """Return the network if its output has this length, else the network with a new output layer.

    An output layer of another length is replaced.

    Args:
        network: the network.
        outputs: length of the output.
    """
    if network.spec.outputs == outputs:
        return network
    base = network.base if isinstance(network, OutputLayer) else network
    return OutputLayer(base, outputs).train(network.training)
