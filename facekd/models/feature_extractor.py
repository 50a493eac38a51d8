"""Feature maps and pre-logits of a network, for losses on intermediate features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from facekd.errors import ModelError, did_you_mean
from facekd.models.registry import Network
from facekd.types import ModelOutput


class FeatureExtractor:
    """Runs a network and returns its outputs together with feature maps and pre-logits.

    Gradients flow through all of them. The network is not changed apart from hooks, which are not in its state dict.

    Args:
        network: a network of the registry.
        layers: paths of the modules whose outputs are the feature maps, from shallow to deep; empty for the network's
            stages.
        with_features: False returns the outputs only and registers no hooks.

    Raises:
        ModelError: the network has no such module, or (on the first call) a module is never called or its output is
            not a feature map.
    """

    def __init__(self, network: Network, layers: Sequence[str] = (), with_features: bool = True) -> None:
        self.network = network
        self.with_features = with_features
        self.layers: tuple[str, ...] = ()
        if not with_features:
            return
        self.layers = tuple(layers) or network.stages
        modules = {name for name, _ in network.named_modules() if name}
        for layer in self.layers:
            if layer not in modules:
                raise ModelError(
                    f"{network.spec.name} has no module '{layer}': {did_you_mean(layer, sorted(modules))}; "
                    f"its stages are {', '.join(network.stages) or 'none'}"
                )
        self._maps: dict[str, Tensor] = {}
        self._pre_logits: dict[str, Tensor] = {}
        final = network.get_submodule(network.final_layer)
        final.register_forward_pre_hook(_input_hook(self._pre_logits, network.final_layer))
        for layer in self.layers:
            network.get_submodule(layer).register_forward_hook(_output_hook(self._maps, layer))

    def __call__(self, x: Tensor) -> ModelOutput:
        """Run the network on float [N, 3, size, size] from `Network.preprocess`."""
        outputs = self.network(x)
        if not self.with_features:
            return ModelOutput(outputs)
        name = self.network.spec.name
        if missing := [layer for layer in self.layers if layer not in self._maps]:
            raise ModelError(f"{name} never calls '{missing[0]}' as a whole; choose another module in feature_layers")
        pre_logits = self._pre_logits.pop(self.network.final_layer)
        maps = tuple(self._maps[layer] for layer in self.layers)
        self._maps.clear()
        for layer, feature_map in zip(self.layers, maps, strict=True):
            if feature_map.ndim != 4:
                raise ModelError(f"{name}: the output of '{layer}' is {list(feature_map.shape)}, not a feature map "
                                 "[N, channels, height, width]; choose another module in feature_layers")
        return ModelOutput(outputs, maps, pre_logits)


def _output_hook(maps: dict[str, Tensor], layer: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    """Return a hook that stores the output of a layer.

    The hook refers to the dict only: a reference to the network would create a cycle and delay its deallocation.
    """

    def store(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        maps[layer] = output

    return store


def _input_hook(pre_logits: dict[str, Tensor], layer: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    """Return a hook that stores the flattened input of a layer; see `_output_hook`."""

    def store(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        pre_logits[layer] = inputs[0].flatten(1)

    return store


@torch.no_grad()
def forward_without_side_effects(
    network: Network, forward: Callable[[Tensor], ModelOutput], images: Tensor
) -> ModelOutput:
    """Compute the output of a network in training without gradients and dropout, and without any change to it.

    Batch norms use the statistics of these images, as they do in training, and do not update their running statistics.
    Running statistics lag behind a network that is still training, so targets computed with them are stale
    (docs/methods.md).

    Args:
        network: the network that ``forward`` runs.
        forward: maps the network's input to its output, e.g. a `FeatureExtractor`.
        images: uint8 [N, size, size, 3] RGB; N is at least 2 if the network is in training mode.
    """
    with without_side_effects(network):
        return forward(network.preprocess(images))


@contextmanager
def without_side_effects(network: nn.Module) -> Iterator[None]:
    """Switch a network to evaluation mode, except that batch norms in training mode use the statistics of the batch.

    Forward passes in this context do not change the network. The previous modes are restored in any case, also after an
    exception.
    """
    training = [module for module in network.modules() if module.training]
    norms = [module for module in training if isinstance(module, _BatchNorm) and module.track_running_stats]
    try:
        network.eval()
        for norm in norms:
            norm.training = True
            norm.track_running_stats = False  # a batch norm updates its running statistics only if it tracks them
        yield
    finally:
        for module in training:
            module.training = True
        for norm in norms:
            norm.track_running_stats = True


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Switch a network to evaluation mode; the previous modes are restored in any case, also after an exception."""
    training = [module for module in network.modules() if module.training]
    try:
        network.eval()
        yield
    finally:
        for module in training:
            module.training = True


def dummy_input(network: Network) -> Tensor:
    """Return two black images of the network's size, uint8 [2, size, size, 3], to learn the shapes of its outputs."""
    size = network.spec.size
    return torch.zeros(2, size, size, 3, dtype=torch.uint8, device=next(network.parameters()).device)
