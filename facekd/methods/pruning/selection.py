"""Which channels remain within budgets of multiply-adds and weights."""

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
class CostTerm:
    """The cost of one layer: ``factor`` times the sizes of its groups of channels.

    Attributes:
        factor: the cost of one pair of an input and an output channel.
        groups: positions of the groups of the output and, unless the layer is depthwise, of the input.
    """

    factor: int
    groups: tuple[int, ...]


@dataclass(frozen=True)
class Limit:
    """A budget.

    Attributes:
        terms: the cost as a function of the sizes of `channel_groups`.
        value: the largest cost.
    """

    terms: Sequence[CostTerm]
    value: float


def mac_terms(network: GraphNetwork) -> list[CostTerm]:
    """Return the multiply-adds of all layers for one image."""
    return _cost_terms(network, {name: math.prod(shape[1:]) for name, shape in network.shapes.items()})


def weight_terms(network: GraphNetwork) -> list[CostTerm]:
    """Return the numbers of weights of all convolutions and linear layers; their biases are not counted."""
    return _cost_terms(network, dict.fromkeys(network.shapes, 1))


def _cost_terms(network: GraphNetwork, uses: Mapping[str, int]) -> list[CostTerm]:
    """Return the terms of a cost that is ``uses`` of each weight of a layer."""
    groups = channel_groups(network.nodes)
    position = {name: index for index, group in enumerate(groups) for name in group.outputs}
    terms = []
    for node in network.nodes:
        if node.layer not in ("convolution", "linear"):
            continue
        weight = network.layers[node.name].get_parameter("weight")
        outputs, inputs = position[node.name], position.get(node.inputs[0], 0)
        is_depthwise = node.name in groups[outputs].carriers
        sizes = groups[outputs].size * (1 if is_depthwise else groups[inputs].size)
        terms.append(CostTerm(weight.numel() * uses[node.name] // sizes,
                              (outputs,) if is_depthwise else (outputs, inputs)))
    return terms


def count_cost(terms: Sequence[CostTerm], sizes: Sequence[int]) -> int:
    """Return the cost of a network with these sizes of its groups."""
    return sum(term.factor * math.prod(sizes[group] for group in term.groups) for term in terms)


def network_cost(network: GraphNetwork, terms: Sequence[CostTerm]) -> int:
    """Return the cost of a network as it is."""
    return count_cost(terms, [group.size for group in channel_groups(network.nodes)])


def select_channels(network: GraphNetwork, saliency: Mapping[str, Tensor], limits: Sequence[Limit]
                    ) -> dict[str, Tensor]:
    """Return the channels that remain when the least salient ones for their cost are removed until all limits are met.

    The cost of a channel is the sum of its costs as shares of the limits that are not met yet.

    Args:
        network: the network.
        saliency: of each group that can lose channels, by its name: float [channels].
        limits: the budgets.

    Returns:
        For each of these groups the indices of the channels that remain: int64, ascending.

    Raises:
        ModelError: a budget is below what remains at the smallest shares.
    """
    groups = channel_groups(network.nodes)
    sizes = [group.size for group in groups]
    ordered = {index: saliency[group.name].sort(descending=True) for index, group in enumerate(groups)
               if not group.is_fixed}
    while exceeded := [limit for limit in limits if count_cost(limit.terms, sizes) > limit.value]:
        prices = {index: float(values[sizes[index] - STEP : sizes[index]].sum()) / _saving(exceeded, sizes, index)
                  for index, (values, _) in ordered.items()
                  if sizes[index] - STEP >= max(STEP, MIN_SHARE * groups[index].size)}
        if not prices:
            smallest = count_cost(exceeded[0].terms, sizes)
            raise ModelError(f"{network.spec.name}: its smallest part has a cost of {smallest:.3g}, more than the "
                             f"budget of {exceeded[0].value:.3g}; set the budget higher, or train a fresh student")
        sizes[min(prices, key=lambda index: prices[index])] -= STEP
    return {groups[index].name: order[: sizes[index]].sort().values for index, (_, order) in ordered.items()}


def _saving(limits: Sequence[Limit], sizes: Sequence[int], index: int) -> float:
    """Return what `STEP` fewer channels of a group save, as a share of the limits."""
    shrunk = list(sizes)
    shrunk[index] -= STEP
    return sum((count_cost(limit.terms, sizes) - count_cost(limit.terms, shrunk)) / limit.value for limit in limits)
