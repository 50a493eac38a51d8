"""Activation checkpointing: the same outputs, gradients and statistics, for less memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from facekd.models.feature_extractor import FeatureExtractor
from facekd.models.registry import Network, create
from facekd.training.activation_checkpointing import apply_activation_checkpointing, residual_blocks


def backward(name: str, checkpointed: bool) -> tuple[Network, list[Tensor]]:
    """A network after a forward and a backward pass through its output and its feature maps, and all of these."""
    torch.manual_seed(0)
    network = create(name, size=32, outputs=8)
    if checkpointed:
        apply_activation_checkpointing(network)
    output = FeatureExtractor(network)(torch.randn(2, 3, 32, 32))
    tensors = [output.outputs, *output.feature_maps]
    torch.stack([tensor.square().mean() for tensor in tensors]).sum().backward()  # type: ignore[no-untyped-call]
    return network, [tensor.detach() for tensor in tensors]


@pytest.mark.parametrize("name", ["iresnet10", "mobilefacenet", "resnet8", "vgg8", "shufflenetv2"])
def test_outputs_gradients_and_statistics_are_the_same(name: str) -> None:
    (plain, expected), (checkpointed, actual) = backward(name, False), backward(name, True)
    assert all(torch.equal(a, b) for a, b in zip(expected, actual, strict=True))
    assert plain.state_dict().keys() == checkpointed.state_dict().keys()
    for (key, value), other in zip(plain.state_dict().items(), checkpointed.state_dict().values(), strict=True):
        assert torch.equal(value, other), key
    for (key, weight), other in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        assert (weight.grad is None) == (other.grad is None), key
        assert weight.grad is None or torch.equal(weight.grad, other.grad), key  # type: ignore[arg-type]


def test_a_compiled_network_counts_a_batch_once_too() -> None:
    networks = []
    for compiled in (False, True):
        torch.manual_seed(0)
        network = create("resnet8", size=32, outputs=8, width=0.5)
        if compiled:
            apply_activation_checkpointing(network)
            # What machine.compile does, up to where C++ would be written.
            network.compile(backend="aot_eager_decomp_partition")
        network(torch.randn(4, 3, 32, 32)).square().mean().backward()  # type: ignore[no-untyped-call]
        networks.append(network)
    for (key, value), other in zip(networks[0].state_dict().items(), networks[1].state_dict().values(), strict=True):
        torch.testing.assert_close(other, value, msg=key)
    for (key, weight), other in zip(networks[0].named_parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(other.grad, weight.grad, msg=key, rtol=1e-4, atol=1e-6)


def stored_bytes(name: str, checkpointed: bool) -> int:
    """Bytes that a forward pass stores for the backward pass, counted by torch's own hook."""
    network = create(name, size=32, outputs=8)
    sizes: dict[int, int] = {}
    if checkpointed:
        apply_activation_checkpointing(network)
    weights = {weight.untyped_storage().data_ptr() for weight in network.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = network(torch.randn(4, 3, 32, 32))
    assert outputs.requires_grad
    return sum(sizes.values())


@pytest.mark.parametrize("name", ["iresnet18", "mobilefacenet"])
def test_less_is_stored_for_the_backward_pass(name: str) -> None:
    assert stored_bytes(name, True) < 0.6 * stored_bytes(name, False)


def test_blocks_are_the_modules_that_stages_are_made_of() -> None:
    assert len(residual_blocks(create("iresnet18", size=32, outputs=8))) == 2 + 2 + 2 + 2
    network = create("vgg8", size=32, outputs=8)
    assert residual_blocks(network) == [network.get_submodule(stage) for stage in network.stages]
    assert residual_blocks(nn.Linear(2, 2)) == []
