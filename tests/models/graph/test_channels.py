from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from facekd.models.architectures.graph import GraphNetwork
from facekd.models.graph.channels import channel_groups, remove_channels
from facekd.models.graph.onnx_import import network_from_onnx
from facekd.models.weights import load_model, save_model
from tests.models.graph.exports import SIZE, random_network, write_onnx


@pytest.fixture(scope="module", params=["mobilefacenet", "iresnet18", "mobilenetv2"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> GraphNetwork:
    """A converted network whose batch norms are layers of their own where the exporter leaves them."""
    plain = random_network(request.param, width=0.25)
    file = write_onnx(plain, tmp_path_factory.mktemp("graph") / "m.onnx", dynamo=False)
    converted = network_from_onnx(file)
    assert isinstance(converted, GraphNetwork)
    return converted


def keep_two_thirds(network: GraphNetwork) -> dict[str, Tensor]:
    return {group.name: torch.tensor([c for c in range(group.size) if c % 3])
            for group in channel_groups(network.nodes) if not group.is_fixed}


def test_every_layer_writes_and_reads_one_group(network: GraphNetwork) -> None:
    groups = channel_groups(network.nodes)
    mixing = [node.name for node in network.nodes if any(node.name in group.writers for group in groups)]
    assert sorted(name for group in groups for name in group.readers) == sorted(mixing)
    assert sorted(name for group in groups for name in group.outputs) == sorted(node.name for node in network.nodes)
    assert groups[0].name == "input" and groups[0].is_fixed
    for group in groups:
        assert {network.shapes[name][0] for name in group.outputs if len(network.shapes[name]) == 3} <= {group.size}


def test_sums_have_one_group(network: GraphNetwork) -> None:
    groups = channel_groups(network.nodes)
    for node in network.nodes:
        if node.layer == "add":
            assert len([group for group in groups if {node.name, *node.inputs} & set(group.outputs)]) == 1


def test_the_embedding_keeps_its_length(network: GraphNetwork) -> None:
    last = next(group for group in channel_groups(network.nodes) if network.nodes[-1].name in group.outputs)
    assert last.is_fixed and last.size == network.spec.outputs
    with pytest.raises(ValueError, match="cannot be removed"):
        remove_channels(network, {last.name: torch.tensor([0])})


def test_a_smaller_network_equals_the_masked_one(network: GraphNetwork) -> None:
    kept = keep_two_thirds(network)
    smaller = remove_channels(network, kept)
    images = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    handles = []
    for group in channel_groups(network.nodes):
        if group.name in kept:
            mask = torch.zeros(group.size)
            mask[kept[group.name]] = 1
            handles += [network.layers[name].register_forward_hook(_masking(mask)) for name in group.outputs]
    with torch.no_grad():
        masked = network(images)
        for handle in handles:
            handle.remove()
        torch.testing.assert_close(smaller(images), masked, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(smaller(images), network(images), rtol=1e-2)


def _masking(mask: Tensor) -> Callable[..., Tensor]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return (output.reshape(len(output), len(mask), -1) * mask[:, None]).reshape(output.shape)

    return hook


def test_a_smaller_network_is_saved_like_any_other(network: GraphNetwork, tmp_path: Path) -> None:
    smaller = remove_channels(network, keep_two_thirds(network))
    save_model(smaller, tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.spec == smaller.spec and not loaded.training
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(loaded(images), smaller(images))


def test_without_a_choice_all_channels_remain(network: GraphNetwork) -> None:
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(remove_channels(network, {})(images), network(images))
