"""A part of a network within a budget of multiply-adds, with the network's own weights."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from facekd.errors import ModelError
from facekd.methods.pruning.reconstruction import reconstruct
from facekd.methods.pruning.saliency import channel_saliency
from facekd.methods.pruning.selection import count_network_macs, select_channels
from facekd.models.architectures.graph import GraphNetwork
from facekd.models.graph.channels import remove_channels

STEP_SHARE = 0.8
"""Each step removes at most this complement of the multiply-adds, because saliencies hold for small changes only."""


def prune(network: GraphNetwork, images: Tensor, share: float, *, seed: int = 0) -> GraphNetwork:
    """Remove the least salient channels in several steps, and fit the remaining weights to the network after each.

    Nothing is trained; a distillation from the network recovers most of what is lost.

    Args:
        network: the network in evaluation mode on the CPU; it is not changed.
        images: uint8 [N, size, size, 3] RGB, a few hundred faces without labels.
        share: the multiply-adds that remain, as a share of the network's.
        seed: of the random directions, see `channel_saliency`.

    Returns:
        The part, in evaluation mode.

    Raises:
        ModelError: the share is not between 0 and 1, or too small for the network.
    """
    if not 0 < share < 1:
        raise ModelError(f"a part has a share of multiply-adds between 0 and 1, not {share:g}")
    total = count_network_macs(network)
    steps = max(1, round(np.log(share) / np.log(STEP_SHARE)))
    pruned, kept = network, dict[str, Tensor]()
    for step in range(1, steps + 1):
        saliency = channel_saliency(pruned, images, seed=seed + step)
        selected = select_channels(pruned, saliency, total * share ** (step / steps))
        kept = {name: kept[name][index] if kept else index for name, index in selected.items()}
        pruned = remove_channels(pruned, selected)
        reconstruct(pruned, network, kept, images)
    return pruned
