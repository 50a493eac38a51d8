"""Intermediate maps and features of a network, for losses that look inside."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from facekd.answers import Answer
from facekd.models.registry import Network


class Tapped:
    """A network asked for its maps, and for what its last layer reads; called with its input it gives an `Answer`.

    Gradients flow through them. The network itself is not changed but for the hooks, which are not in its state.

    Args:
        network: one of the registry.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._maps: dict[str, Tensor] = {}
        self._read: dict[str, Tensor] = {}
        network.get_submodule(network.final).register_forward_pre_hook(_reader(self._read, network.final))
        for stage in network.stages:
            network.get_submodule(stage).register_forward_hook(_keeper(self._maps, stage))

    def __call__(self, x: Tensor) -> Answer:
        """The answer to float [N, 3, size, size], as `Network.inputs` gives it."""
        outputs = self.network(x)
        read = self._read.pop(self.network.final)
        answer = Answer(outputs, tuple(self._maps[stage] for stage in self.network.stages), read)
        self._maps.clear()
        return answer


def _keeper(maps: dict[str, Tensor], stage: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    """A hook that knows the maps alone: one that knew the network would keep it alive in a circle."""

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        maps[stage] = output

    return keep


def _reader(read: dict[str, Tensor], layer: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    """Likewise, for the input of the last layer."""

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        read[layer] = inputs[0].flatten(1)

    return keep
