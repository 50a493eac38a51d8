"""Which channels remain within a budget of multiply-adds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from facekd.errors import ModelError
from facekd.models.architectures.graph import GraphNetwork
from facekd.models.graph.channels import channel_groups

STEP = 8
"""Channels are removed by eight, because runtimes compute as many at once."""
MIN_SHARE = 0.1
"""The smallest share of a group's channels that remains."""


@dataclass(frozen=True)
class MacTerm:
    """The multiply-adds of one layer: ``factor`` times the sizes of its groups of channels.

    Attributes:
        factor: multiply-adds for one pair of an input and an output channel.
        groups: positions of the groups of the output and, unless the layer is depthwise, of the input.
    """

    factor: int
    groups: tuple[int, ...]


def mac_terms(network: GraphNetwork) -> list[MacTerm]:
    """Return the multiply-adds of all layers as functions of the sizes of `channel_groups`."""
    groups = channel_groups(network.nodes)
    position = {name: index for index, group in enumerate(groups) for name in group.outputs}
    terms = []
    for node in network.nodes:
        if node.layer not in ("convolution", "linear"):
            continue
        weight = network.layers[node.name].get_parameter("weight")
        outputs, inputs = position[node.name], position.get(node.inputs[0], 0)
        is_depthwise = node.name in groups[outputs].carriers
        count = weight.numel() * math.prod(network.shapes[node.name][1:])
        sizes = groups[outputs].size * (1 if is_depthwise else groups[inputs].size)
        terms.append(MacTerm(count // sizes, (outputs,) if is_depthwise else (outputs, inputs)))
    return terms


def count_group_macs(terms: Sequence[MacTerm], sizes: Sequence[int]) -> int:
    """Return the multiply-adds of a network with these sizes of its groups."""
    return sum(term.factor * math.prod(sizes[group] for group in term.groups) for term in terms)


def count_network_macs(network: GraphNetwork) -> int:
    """Return the multiply-adds of a network for one image, as `facekd.models.complexity.count_macs` counts them."""
    return count_group_macs(mac_terms(network), [group.size for group in channel_groups(network.nodes)])


def select_channels(network: GraphNetwork, saliency: Mapping[str, Tensor], macs: float) -> dict[str, Tensor]:
    """Return the channels that remain when the least salient ones for their cost are removed until a budget is met.

    Args:
        network: the network.
        saliency: of each group that can lose channels, by its name: float [channels].
        macs: the largest number of multiply-adds for one image.

    Returns:
        For each of these groups the indices of the channels that remain: int64, ascending.

    Raises:
        ModelError: the budget is below what remains at the smallest shares.
    """
    groups = channel_groups(network.nodes)
    terms = mac_terms(network)
    sizes = [group.size for group in groups]
    ordered = {index: saliency[group.name].sort(descending=True) for index, group in enumerate(groups)
               if not group.is_fixed}
    total = count_group_macs(terms, sizes)
    while total > macs:
        best: tuple[float, int, int] | None = None
        for index, (values, _) in ordered.items():
            if sizes[index] - STEP < max(STEP, MIN_SHARE * groups[index].size):
                continue
            remaining = _shrunk_macs(terms, sizes, index)
            price = float(values[sizes[index] - STEP : sizes[index]].sum()) / (total - remaining)
            if best is None or price < best[0]:
                best = price, index, remaining
        if best is None:
            raise ModelError(f"{network.spec.name}: {macs:.3g} multiply-adds are fewer than the {total:.3g} of its "
                             "smallest part; set the budget higher")
        _, index, total = best
        sizes[index] -= STEP
    return {groups[index].name: order[: sizes[index]].sort().values for index, (_, order) in ordered.items()}


def _shrunk_macs(terms: Sequence[MacTerm], sizes: Sequence[int], index: int) -> int:
    shrunk = list(sizes)
    shrunk[index] -= STEP
    return count_group_macs(terms, shrunk)
