"""The flow of the solution procedure: how the channels of one stage go together with those of the next."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.comparable import comparable, exact
from facekd.losses.feature_maps import paired
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size


def flow(shallow: Tensor, deep: Tensor) -> Tensor:
    """The FSP matrix of two maps of one network: mean over the places of the product of every pair of channels.

    Where the maps' sides differ, the larger is brought to the smaller by the maximum, height and width apart.

    Args:
        shallow: float [N, C, H, W], float32 or better.
        deep: float [N, D, H', W'], of the same dtype.

    Returns:
        [N, C, D].
    """
    side = (min(shallow.shape[2], deep.shape[2]), min(shallow.shape[3], deep.shape[3]))
    first, second = (maps if maps.shape[2:] == side else functional.adaptive_max_pool2d(maps, side)
                     for maps in (shallow, deep))
    with torch.autocast(shallow.device.type, enabled=False):
        return first.flatten(2) @ second.flatten(2).mT / (side[0] * side[1])


@register
class FSP(Loss):
    """Sum over neighbouring stages of the mean squared difference of both networks' ``flow`` (Yim et al., CVPR 2017).

    The benchmark of CRD (Tian et al., ICLR 2020) has this mean over the images and the matrices' elements, and weighs
    it 50. Stages are paired from the deep end (`stages.paired`); both networks must have at least two. The student's
    and the teacher's maps need not have the same sides. Within a network, the larger of two maps is brought to the
    smaller by the maximum, as in the paper (from memory); the benchmark takes the mean.

    The paper and the benchmark need equal channels in paired stages. Ours: where they differ, a 1x1 convolution with
    bias, trained with the student, brings the student's map to the teacher's channels. Where they are equal there is
    none, and the loss is theirs.

    Paper and benchmark have it as a first stage, before the student learns from labels alone: as a ``method`` it has
    the first eighth of the training to itself (the benchmark: 30 epochs before its 240). Under ``losses`` it counts
    from ``begin`` to ``end``, like any other.
    """

    name = "fsp"
    paper = "Yim et al., A Gift from Knowledge Distillation: Fast Optimization, Network Minimization, CVPR 2017"
    equation = (
        "sum over neighbouring stages i, i + 1 of mean (G_s - G_t)^2, G = F_i F_i+1^T / places; "
        "r(F_s), r a 1x1 convolution, for F_s where the channels differ (ours)"
    )
    weight = 50.0
    origin = "benchmark of CRD (Tian et al., ICLR 2020), there before the labels and not beside them"
    first = 30 / 240
    maps = True

    def __init__(self, student: Answer, teacher: Answer, size: Size) -> None:
        super().__init__(student, teacher, size)
        self.regressors = nn.ModuleList(_regressor(*pair) for pair in paired(student, teacher, self.name))
        count = len(self.regressors)
        if count < 2:
            raise ModelError(f"loss fsp: pairs of maps: {count}: it relates neighbouring stages, and needs at least 2")

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        pairs = paired(student, teacher, self.name, len(self.regressors))
        stages = zip(self.regressors, pairs, strict=True)
        both = [(_widened(regressor, own), _exact(target)) for regressor, (own, target) in stages]
        return torch.stack([
            functional.mse_loss(*comparable(flow(s, s_next), flow(t, t_next), "FSP matrices",
                                            "the loss was made for other networks"))
            for (s, t), (s_next, t_next) in pairwise(both)
        ]).sum()


def _regressor(own: Tensor, target: Tensor) -> nn.Module:
    """From a student's map to the teacher's channels; nothing where they are equal. Made from a sample of both."""
    if own.shape[1] == target.shape[1]:
        return nn.Identity()
    dtype = exact(own)
    return nn.Conv2d(own.shape[1], target.shape[1], kernel_size=1, dtype=dtype)


def _widened(regressor: nn.Module, own: Tensor) -> Tensor:
    """A student's map with the teacher's channels."""
    return _exact(regressor(own.to(regressor.weight.dtype)) if isinstance(regressor, nn.Conv2d) else own)


def _exact(maps: Tensor) -> Tensor:
    """In float32 or better."""
    return maps.to(exact(maps))
