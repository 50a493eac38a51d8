from __future__ import annotations

import torch
from torch.nn.functional import normalize

from facekd.methods.pruning.saliency import channel_saliency
from tests.methods.pruning.networks import bottleneck_network, random_images


def test_each_group_that_can_lose_channels_has_a_saliency() -> None:
    saliency = channel_saliency(bottleneck_network(), random_images())
    assert {name: len(values) for name, values in saliency.items()} == {"stem": 16, "expand": 32}
    assert all((values >= 0).all() for values in saliency.values())


def test_a_channel_without_effect_or_without_variance_has_none() -> None:
    network = bottleneck_network()
    with torch.no_grad():
        network.layers["project"].weight[:, 3] = 0
        network.layers["depthwise"].weight[5] = 0  # the channel is its bias for every image
    saliency = channel_saliency(network, random_images())["expand"]
    assert saliency[3] == 0 and saliency[5] < 1e-10 * saliency.max()


def test_it_is_the_squared_change_of_the_embedding_for_small_changes() -> None:
    """The mean over directions is compared with the change of the embedding when a channel moves towards its mean."""
    network, images = bottleneck_network(), random_images()
    with torch.no_grad():
        network.layers["project"].weight *= 10
    runs = [channel_saliency(network, images, seed=seed)["expand"] for seed in range(60)]
    step = 0.1
    with torch.no_grad():
        pixels = network.preprocess(images)
        before = normalize(network(pixels))
        for channel in (0, 7, 20):
            def shrink(module: object, inputs: tuple[torch.Tensor, ...], output: torch.Tensor,
                       channel: int = channel) -> torch.Tensor:
                output = output.clone()
                output[:, channel] -= step * (output[:, channel] - output[:, channel].mean())
                return output

            handle = network.layers["depthwise_act"].register_forward_hook(shrink)
            change = (normalize(network(pixels)) - before).square().sum(1).mean() / step**2
            handle.remove()
            torch.testing.assert_close(torch.stack(runs).mean(0)[channel], change, rtol=0.35, atol=0)


def test_the_network_is_not_changed_and_equal_seeds_give_equal_saliencies() -> None:
    network, images = bottleneck_network(), random_images()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first, second = (channel_saliency(network, images, seed=3) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(layer._forward_pre_hooks for layer in network.layers.values())
