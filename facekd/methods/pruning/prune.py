"""A part of a network within budgets of multiply-adds and weights, with the network's own weights."""

from __future__ import annotations

from functools import partial

import numpy as np
from torch import Tensor

from facekd.errors import ModelError
from facekd.methods.pruning.reconstruction import reconstruct
from facekd.methods.pruning.saliency import channel_saliency, count_batches
from facekd.methods.pruning.selection import Limit, mac_terms, network_cost, select_channels, weight_terms
from facekd.models.architectures.graph import GraphNetwork
from facekd.models.graph.channels import remove_channels
from facekd.utils.progress import progress_bar

STEP_SHARE = 0.8
"""Each step removes at most this complement of the multiply-adds, because saliencies hold for small changes only."""


def prune(network: GraphNetwork, images: Tensor, share: float = 1.0, *, weight_share: float = 1.0, seed: int = 0
          ) -> GraphNetwork:
    """Remove the least salient channels in several steps, and fit the remaining weights to the network after each.

    Nothing is trained; a distillation from the network recovers most of what is lost.

    Args:
        network: the network in evaluation mode on the CPU; it is not changed.
        images: uint8 [N, size, size, 3] RGB, a few hundred faces without labels.
        share: the multiply-adds that may remain, as a share of the network's.
        weight_share: the weights that may remain, as a share of the network's.
        seed: of the random directions, see `channel_saliency`.

    Returns:
        The part, in evaluation mode.

    Raises:
        ModelError: a share is not between 0 and 1 or too small for the network, or nothing has to be removed.
    """
    smallest = min(share, weight_share)
    if not 0 < smallest < 1 or max(share, weight_share) > 1:
        raise ModelError(f"a part has a share of multiply-adds or weights between 0 and 1, not {smallest:g}")
    macs, weights = network_cost(network, mac_terms(network)), network_cost(network, weight_terms(network))
    steps = max(1, round(np.log(smallest) / np.log(STEP_SHARE)))
    pruned, kept = network, dict[str, Tensor]()
    with progress_bar("prune", steps * (count_batches(images) + len(network.nodes)), "part") as advance:
        for step in range(1, steps + 1):
            tick = partial(advance, 1, f"step {step} of {steps}")
            saliency = channel_saliency(pruned, images, seed=seed + step, on_batch=tick)
            limits = [Limit(mac_terms(pruned), macs * share ** (step / steps)),
                      Limit(weight_terms(pruned), weights * weight_share ** (step / steps))]
            selected = select_channels(pruned, saliency, limits)
            kept = {name: kept[name][index] if kept else index for name, index in selected.items()}
            pruned = remove_channels(pruned, selected)
            reconstruct(pruned, network, kept, images, on_layer=tick)
    return pruned
