from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cosine_similarity

from facekd.errors import ModelError
from facekd.methods.pruning.prune import prune
from facekd.methods.pruning.selection import network_cost, weight_terms
from facekd.models.complexity import count_macs
from tests.methods.pruning.networks import SIZE, bottleneck_network, random_images


def test_a_part_is_within_its_share_and_near_the_network() -> None:
    network, images = bottleneck_network(32, 64), random_images(48)
    part = prune(network, images, 0.5)
    assert count_macs(part, SIZE) <= 0.5 * count_macs(network, SIZE) and not part.training
    pixels = network.preprocess(images)
    with torch.no_grad():
        assert cosine_similarity(part(pixels), network(pixels)).mean() > 0.95


def test_a_part_is_within_its_share_of_the_weights() -> None:
    network = bottleneck_network(32, 64)
    part = prune(network, random_images(), weight_share=0.6)
    assert network_cost(part, weight_terms(part)) <= 0.6 * network_cost(network, weight_terms(network))


def test_equal_seeds_give_equal_parts() -> None:
    network, images = bottleneck_network(), random_images()
    first, second = (prune(network, images, 0.6, seed=1) for _ in range(2))
    assert first.spec == second.spec
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_share_that_is_no_part_is_refused(share: float) -> None:
    with pytest.raises(ModelError, match="a share of multiply-adds or weights between 0 and 1"):
        prune(bottleneck_network(), random_images(), share)
