"""Neuron selectivity transfer: the places that excite the student's channels are distributed as the teacher's."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.comparable import promoted
from facekd.losses.feature_maps import level, paired
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size
from facekd.utils.functional import unit


@register
class NST(Loss):
    """Sum over stages of the squared MMD between the channels of both maps (Huang & Wang 2017).

    Every channel of an image's map is one sample: its H*W values, scaled to unit length. The kernel is the paper's
    polynomial one with degree 2 and constant 0, k(x, y) = (x . y)^2, and the square of the maximum mean discrepancy is
    the mean of k over all pairs of the student's channels, plus that of the teacher's, less twice that over all pairs
    of a student's and a teacher's channel; of these, the mean over the images. The numbers of channels may differ, and
    their order and scale do not matter.

    The benchmark of CRD (Tian et al., ICLR 2020) weighs it 50. Stages are paired from the deep end (`stages.paired`);
    where the sides differ, the larger map is averaged down to the smaller.
    """

    name = "nst"
    paper = "Huang & Wang, Like What You Like: Knowledge Distill via Neuron Selectivity Transfer, 2017"
    equation = "sum over stages of mean_ij (s_i.s_j)^2 + mean_ij (t_i.t_j)^2 - 2 mean_ij (s_i.t_j)^2, channels as units"
    weight = 50.0
    origin = "benchmark of CRD (Tian et al., ICLR 2020)"
    maps = True

    def __init__(self, student: Answer, teacher: Answer, size: Size) -> None:
        super().__init__(student, teacher, size)
        paired(student, teacher, self.name)  # refuses a sample without maps before anything is trained

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        return torch.stack([_discrepancy(*pair) for pair in paired(student, teacher, self.name)]).sum()


def _discrepancy(own: Tensor, target: Tensor) -> Tensor:
    """Squared MMD of two maps [N, C, H, W], mean over the images; the teacher's receives no gradient."""
    if len(own) != len(target):
        raise ModelError(f"loss nst: maps of {len(own)} and of {len(target)} images: both must be of the same images")
    own, target = level(*promoted(own, target))
    with torch.autocast(own.device.type, enabled=False):  # three nearly equal means are taken from each other
        s, t = _channels(own), _channels(target)
        return _kernel(s, s) + _kernel(t, t) - 2 * _kernel(s, t)


def _channels(maps: Tensor) -> Tensor:
    """Maps [N, C, H, W] as unit vectors [N, C, H*W]; a channel that is zero everywhere stays zero."""
    return unit(maps.flatten(2).flatten(0, 1)).reshape(maps.shape[0], maps.shape[1], -1)


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    """Mean of (x . y)^2 over all pairs of an image's channels, and over the images."""
    return (first @ second.mT).square().mean()
