"""Intermediate maps and features of a network, for losses that look inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from facekd.errors import ModelError, nearest
from facekd.models.registry import Network
from facekd.types import Answer


class Tapped:
    """A network asked for its maps, and for what its last layer reads; called with its input it gives an `Answer`.

    Gradients flow through them. The network itself is not changed but for the hooks, which are not in its state.

    Args:
        network: one of the registry.
        taps: modules whose outputs are the maps, shallow to deep, by their paths; none given means its stages.

    Raises:
        ModelError: the network has no such module, or (on the first call) its output is no map or it has none.
    """

    def __init__(self, network: Network, taps: Sequence[str] = ()) -> None:
        self.network, self.taps = network, tuple(taps) or network.stages
        modules = {name for name, _ in network.named_modules() if name}
        for tap in self.taps:
            if tap not in modules:
                raise ModelError(
                    f"{network.spec.name} has no module '{tap}': {nearest(tap, sorted(modules))}; "
                    f"its stages are {', '.join(network.stages)}"
                )
        self._maps: dict[str, Tensor] = {}
        self._read: dict[str, Tensor] = {}
        network.get_submodule(network.final).register_forward_pre_hook(_reader(self._read, network.final))
        for tap in self.taps:
            network.get_submodule(tap).register_forward_hook(_keeper(self._maps, tap))

    def __call__(self, x: Tensor) -> Answer:
        """The answer to float [N, 3, size, size], as `Network.inputs` gives it."""
        outputs = self.network(x)
        if idle := [tap for tap in self.taps if tap not in self._maps]:
            raise ModelError(f"{self.network.spec.name} never calls '{idle[0]}' as a whole; choose another module in "
                             "taps")
        read, maps = self._read.pop(self.network.final), tuple(self._maps[tap] for tap in self.taps)
        self._maps.clear()
        for tap, each in zip(self.taps, maps, strict=True):
            if each.ndim != 4:
                raise ModelError(f"{self.network.spec.name}: the output of '{tap}' is {list(each.shape)}, and no map "
                                 "[N, channels, height, width]; choose another module in taps")
        return Answer(outputs, maps, read)


def _keeper(maps: dict[str, Tensor], tap: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    """A hook that knows the maps alone: one that knew the network would keep it alive in a circle."""

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        maps[tap] = output

    return keep


def _reader(read: dict[str, Tensor], layer: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    """Likewise, for the input of the last layer."""

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        read[layer] = inputs[0].flatten(1)

    return keep


@torch.no_grad()
def aside(network: Network, ask: Callable[[Tensor], Answer], images: Tensor) -> Answer:
    """The answer of a network in training, without gradient, dropout or trace: it is left as it was.

    Its batch norms take the statistics of these images, as they do in training, and do not count them. Running ones
    lag behind a network on the move, and who follows them follows what it never was (docs/methods.md).

    Args:
        network: the one that is asked.
        ask: from its input to its answer, e.g. a `Tapped`.
        images: uint8 [N, size, size, 3] RGB; in training N is at least 2.
    """
    training = [module for module in network.modules() if module.training]
    norms = [module for module in training if isinstance(module, _BatchNorm) and module.track_running_stats]
    network.eval()
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    answer = ask(network.inputs(images))
    for module in training:
        module.training = True
    for norm in norms:
        norm.track_running_stats = True
    return answer


def blank(network: Network) -> Tensor:
    """Two black images of a network's size, to learn from its answer what shapes it has: uint8 [2, size, size, 3]."""
    size = network.spec.size
    return torch.zeros(2, size, size, 3, dtype=torch.uint8, device=next(network.parameters()).device)
