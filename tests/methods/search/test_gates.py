from __future__ import annotations

import pytest
import torch
from torch import Tensor

from facekd.methods.search.gates import Gates
from facekd.models.architectures.resnet_cifar import Block, ResNet
from facekd.models.architectures.resnet_pruned import Layout
from facekd.models.registry import create


def resnet(name: str = "resnet14") -> ResNet:
    """With statistics, scales and shifts of its own, and normalisations that look alike nowhere."""
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
    """Every third gate of every layer, and one block, are closed; the others are anything above 0."""
    torch.manual_seed(2)
    for gate, _ in gates.vectors():
        gate.data.uniform_(0.5, 2)
        if gate.numel() > 1:
            gate.data[::3] = 0
    gates.kept[1].data.zero_()


@pytest.mark.parametrize("name", ["resnet8", "resnet14", "resnet8x4"])
def test_with_open_gates_it_answers_as_the_network_does(name: str) -> None:
    network = resnet(name)
    torch.testing.assert_close(Gates(Layout.of(network))(network, images()), network(images()))


def cut(gates: Gates, whole: ResNet) -> ResNet:
    """The network of the gates' layout with the weights that are left, the gates multiplied into its norms."""
    network = create("resnet_found", size=32, outputs=5, plan=str(gates.layout()))
    assert isinstance(network, ResNet)
    state = {}

    def norm(name: str, to: str, gate: Tensor, factor: float = 1.0) -> None:
        for key in ("running_mean", "running_var", "num_batches_tracked"):
            value = whole.get_submodule(name).get_buffer(key)
            state[f"{to}.{key}"] = value[gate > 0] if value.ndim else value
        for key in ("weight", "bias"):
            state[f"{to}.{key}"] = (factor * gate * whole.get_submodule(name).get_parameter(key))[gate > 0]

    def convolution(name: str, to: str, before: Tensor, after: Tensor) -> None:
        state[f"{to}.weight"] = whole.get_submodule(name).get_parameter("weight")[after > 0][:, before > 0]

    stem = gates.shared[0] if gates.tied else gates.stem
    convolution("conv1", "conv1", torch.ones(3), stem)
    norm("bn1", "bn1", stem)
    before, number = stem, 0
    for stage, after in enumerate(gates.shared, 1):
        place = 0
        for index, block in enumerate(whole.get_submodule(f"layer{stage}").children()):
            assert isinstance(block, Block)
            inner, kept = gates.inner[number], float(gates.kept[number].detach())
            number += 1
            if not kept:
                continue
            old, new = f"layer{stage}.{index}", f"layer{stage}.{place}"
            convolution(f"{old}.conv1", f"{new}.conv1", before, inner)
            norm(f"{old}.bn1", f"{new}.bn1", inner)
            convolution(f"{old}.conv2", f"{new}.conv2", inner, after)
            norm(f"{old}.bn2", f"{new}.bn2", after, kept)
            if not isinstance(block.downsample, torch.nn.Identity):
                convolution(f"{old}.downsample.0", f"{new}.downsample.0", before, after)
                norm(f"{old}.downsample.1", f"{new}.downsample.1", after)
            before, place = after, place + 1
    state["fc.weight"], state["fc.bias"] = whole.fc.weight[:, before > 0], whole.fc.bias
    network.load_state_dict(state)
    return network.eval()


@pytest.mark.parametrize("name", ["resnet14", "resnet8x4"])
def test_what_is_closed_can_be_cut_away_and_nothing_changes(name: str) -> None:
    network = resnet(name)
    gates = Gates(Layout.of(network))
    close_some(gates)
    gates.kept[1].data.fill_(1.0 if name == "resnet8x4" else 0.0)  # its blocks change the shape
    with torch.no_grad():
        torch.testing.assert_close(gates(network, images()), cut(gates, network)(images()), rtol=1e-4, atol=1e-5)


def test_the_layout_counts_open_gates_and_keeps_eight() -> None:
    gates = Gates(Layout.of(resnet("resnet14")))
    assert str(gates.layout()) == str(gates.full) == "16/16:16,16/32:32,32/64:64,64"
    close_some(gates)
    assert str(gates.layout()) == "10/10:10,-/21:21,21/42:42,42"
    assert str(gates.layout(9)) == "8/8:-,-/8:8,-/8:8,-"


def test_blocks_stay_where_they_are_told_to() -> None:
    gates = Gates(Layout.of(resnet()), blocks=False)
    assert str(gates.layout(9)) == "8/8:8,8/8:8,8/8:8,8"
    assert {gate.numel() for gate, _ in gates.vectors()} == {16, 32, 64}


def test_every_gate_knows_the_network_without_it() -> None:
    gates = Gates(Layout.of(resnet("resnet8")))
    full = gates.full
    assert str(full) == "16/16:16/32:32/64:64"
    assert [str(less) for _, less in gates.vectors()] == [
        "15/15:16/32:32/64:64", "16/16:16/31:32/64:64", "16/16:16/32:32/63:64",
        "16/16:15/32:32/64:64", "16/16:16/32:31/64:64", "16/16:16/32:32/64:63", "16/16:-/32:32/64:64",
    ]


def test_every_gate_receives_a_gradient() -> None:
    network = resnet()
    gates = Gates(Layout.of(network))
    gates(network, images()).square().sum().backward()
    assert all(gate.grad is not None and bool(gate.grad.any()) for gate, _ in gates.vectors())


def test_a_found_network_can_be_searched_again() -> None:
    network = create("resnet_found", size=32, outputs=5, plan="16/16:-,-/32:20,-/64:9,10")
    assert isinstance(network, ResNet)
    network.eval()
    gates = Gates(Layout.of(network))
    assert str(gates.layout(9)) == "8/8:-/8:8/8:8,-"
    torch.testing.assert_close(gates(network, images()), network(images()))


def test_without_a_block_and_closed_ones_the_others_are_at_full_width() -> None:
    gates = Gates(Layout.of(resnet("resnet14")))
    gates.inner[0].data[:4] = 0
    gates.kept[3].data.zero_()
    assert str(gates.without(gates.kept[5])) == "16/16:16,16/32:32,-/64:64,-"
