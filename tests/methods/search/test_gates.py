from __future__ import annotations

import pytest
import torch
from torch import Tensor

from facekd.methods.search.gates import Gates
from facekd.models.architectures.resnet_cifar import Block, ResNet
from facekd.models.architectures.resnet_pruned import Layout
from facekd.models.registry import create


def resnet(name: str = "resnet14") -> ResNet:
    """A network whose batch norms all have different statistics, scales and shifts."""
    torch.manual_seed(0)
    network = create(name, size=32, outputs=5)
    assert isinstance(network, ResNet)
    for key, value in network.state_dict().items():
        if "bn" in key or "downsample.1" in key:
            value.copy_(torch.rand_like(value.float()) + 0.5)
    return network.eval()


def images() -> Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def close_some(gates: Gates) -> None:
    """Close every third gate of every layer, and one block; the others have random values above 0."""
    torch.manual_seed(2)
    for gate, _ in gates.prunable_gates():
        gate.data.uniform_(0.5, 2)
        if gate.numel() > 1:
            gate.data[::3] = 0
    gates.block_gates[1].data.zero_()


@pytest.mark.parametrize("name", ["resnet8", "resnet14", "resnet8x4"])
def test_with_open_gates_the_outputs_are_those_of_the_network(name: str) -> None:
    network = resnet(name)
    torch.testing.assert_close(Gates(Layout.from_network(network))(network, images()), network(images()))


def prune(gates: Gates, full: ResNet) -> ResNet:
    """The network of the gates' layout with the remaining weights, the gates multiplied into its norms."""
    network = create("resnet_pruned", size=32, outputs=5, plan=str(gates.layout()))
    assert isinstance(network, ResNet)
    state = {}

    def norm(name: str, to: str, gate: Tensor, factor: float = 1.0) -> None:
        for key in ("running_mean", "running_var", "num_batches_tracked"):
            value = full.get_submodule(name).get_buffer(key)
            state[f"{to}.{key}"] = value[gate > 0] if value.ndim else value
        for key in ("weight", "bias"):
            state[f"{to}.{key}"] = (factor * gate * full.get_submodule(name).get_parameter(key))[gate > 0]

    def convolution(name: str, to: str, before: Tensor, after: Tensor) -> None:
        state[f"{to}.weight"] = full.get_submodule(name).get_parameter("weight")[after > 0][:, before > 0]

    stem = gates.stage_gates[0] if gates.stem_tied else gates.stem_gates
    convolution("conv1", "conv1", torch.ones(3), stem)
    norm("bn1", "bn1", stem)
    before, number = stem, 0
    for stage, after in enumerate(gates.stage_gates, 1):
        position = 0
        for index, block in enumerate(full.get_submodule(f"layer{stage}").children()):
            assert isinstance(block, Block)
            inner, block_gate = gates.inner_gates[number], float(gates.block_gates[number].detach())
            number += 1
            if not block_gate:
                continue
            old, new = f"layer{stage}.{index}", f"layer{stage}.{position}"
            convolution(f"{old}.conv1", f"{new}.conv1", before, inner)
            norm(f"{old}.bn1", f"{new}.bn1", inner)
            convolution(f"{old}.conv2", f"{new}.conv2", inner, after)
            norm(f"{old}.bn2", f"{new}.bn2", after, block_gate)
            if not isinstance(block.downsample, torch.nn.Identity):
                convolution(f"{old}.downsample.0", f"{new}.downsample.0", before, after)
                norm(f"{old}.downsample.1", f"{new}.downsample.1", after)
            before, position = after, position + 1
    state["fc.weight"], state["fc.bias"] = full.fc.weight[:, before > 0], full.fc.bias
    network.load_state_dict(state)
    return network.eval()


@pytest.mark.parametrize("name", ["resnet14", "resnet8x4"])
def test_what_is_closed_can_be_removed_and_nothing_changes(name: str) -> None:
    network = resnet(name)
    gates = Gates(Layout.from_network(network))
    close_some(gates)
    gates.block_gates[1].data.fill_(1.0 if name == "resnet8x4" else 0.0)  # its blocks change the shape
    with torch.no_grad():
        torch.testing.assert_close(gates(network, images()), prune(gates, network)(images()), rtol=1e-4, atol=1e-5)


def test_the_layout_counts_open_gates_and_keeps_eight() -> None:
    gates = Gates(Layout.from_network(resnet("resnet14")))
    assert str(gates.layout()) == str(gates.full_layout) == "16/16:16,16/32:32,32/64:64,64"
    close_some(gates)
    assert str(gates.layout()) == "10/10:10,-/21:21,21/42:42,42"
    assert str(gates.layout(9)) == "8/8:-,-/8:8,-/8:8,-"


def test_blocks_stay_without_drop_blocks() -> None:
    gates = Gates(Layout.from_network(resnet()), drop_blocks=False)
    assert str(gates.layout(9)) == "8/8:8,8/8:8,8/8:8,8"
    assert {gate.numel() for gate, _ in gates.prunable_gates()} == {16, 32, 64}


def test_every_gate_has_the_layout_of_the_network_without_it() -> None:
    gates = Gates(Layout.from_network(resnet("resnet8")))
    full = gates.full_layout
    assert str(full) == "16/16:16/32:32/64:64"
    assert [str(reduced) for _, reduced in gates.prunable_gates()] == [
        "15/15:16/32:32/64:64", "16/16:16/31:32/64:64", "16/16:16/32:32/63:64",
        "16/16:15/32:32/64:64", "16/16:16/32:31/64:64", "16/16:16/32:32/64:63", "16/16:-/32:32/64:64",
    ]


def test_every_gate_receives_a_gradient() -> None:
    network = resnet()
    gates = Gates(Layout.from_network(network))
    gates(network, images()).square().sum().backward()
    assert all(gate.grad is not None and bool(gate.grad.any()) for gate, _ in gates.prunable_gates())


def test_a_pruned_network_can_be_searched_again() -> None:
    network = create("resnet_pruned", size=32, outputs=5, plan="16/16:-,-/32:20,-/64:9,10")
    assert isinstance(network, ResNet)
    network.eval()
    gates = Gates(Layout.from_network(network))
    assert str(gates.layout(9)) == "8/8:-/8:8/8:8,-"
    torch.testing.assert_close(gates(network, images()), network(images()))


def test_without_a_block_and_closed_ones_the_others_are_at_full_width() -> None:
    gates = Gates(Layout.from_network(resnet("resnet14")))
    gates.inner_gates[0].data[:4] = 0
    gates.block_gates[3].data.zero_()
    assert str(gates.without_block(gates.block_gates[5])) == "16/16:16,16/32:32,-/64:64,-"
