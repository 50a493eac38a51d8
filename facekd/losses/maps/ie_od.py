"""Inheritance and exploration by activations: half of the student's channels rebuild the teacher's last map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facekd.losses.comparable import comparable, exact
from facekd.losses.feature_maps import level, maps_of
from facekd.losses.maps.halves import Halves, cosine
from facekd.losses.maps.norm import Norm
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size


def partial(own: Tensor, target: Tensor) -> Tensor:
    """Mean over all elements of (s - t)^2, or 0 where s <= t <= 0 (partial L2, Heo et al., ICCV 2019).

    What a ReLU will cut off anyway need not be met.
    """
    return (own - target).square().masked_fill((own <= target) & (target <= 0), 0).mean()


@register
class InheritExploreActivations(Loss):
    """partial(r_I(F_inh), m(F_t)) + explore * mean |cos(r_E(F_exp), m(F_t))|: our reading of IE-OD.

    Huang et al. (CVPR 2021) name the overhaul of feature distillation (Heo et al., ICCV 2019) among the losses that
    inheritance and exploration can be laid over. What is of the overhaul, from memory: the partial L2; a 1x1
    convolution and a batch norm r between the student's map and the teacher's channels; and the margin ReLU m(x) =
    max(x, m_c), where m_c is the mean of the teacher's values below 0 in channel c. In a lesson these are
    counted over the training set; before it they are 0, as they are for a map that a ReLU ends. What is ours: only the
    last map is taken, which inheritance and exploration divides; the exploring half is kept away by a cosine, because
    minus the partial L2 has no least value; the mean over all elements; and both weights. Where the sides differ, the
    larger map is averaged down.

    Options:
        divide: "natural" (first and second half of the channels) or "random".
        split_seed: of the random division.
        explore: weight of the exploration beside the inheritance.
        lessons: epochs over which the margins are counted for each teacher; one sees every image.
    """

    name = "ie-od-ours"
    paper = "after Huang et al., Revisiting Knowledge Distillation: Inheritance and Exploration, CVPR 2021"
    equation = "partial(r_I(F_inh), max(F_t, m_c)) + explore mean |cos(r_E(F_exp), max(F_t, m_c))|"
    weight = 10.0
    origin = "ours"
    maps = True
    below: Tensor
    count: Tensor

    def __init__(
        self, student: Answer, teacher: Answer, size: Size, *, divide: str = "natural", split_seed: int = 0,
        explore: float = 0.1, lessons: float = 1.0,
    ) -> None:
        super().__init__(student, teacher, size)
        self.explore, self.lessons = explore, lessons
        own, target = maps_of(student, "student", self.name)[-1], maps_of(teacher, "teacher", self.name)[-1]
        channels, self.dtype = target.shape[1], exact(own)
        self.register_buffer("below", torch.zeros(channels, 1, 1, dtype=exact(target)))
        self.register_buffer("count", torch.zeros(channels, 1, 1, dtype=exact(target)))
        self.halves = Halves(own.shape[1], divide, split_seed, self.name)
        self.inheritor, self.explorer = (
            nn.Sequential(nn.Conv2d(half.shape[1], channels, kernel_size=1, bias=False, dtype=self.dtype),
                          Norm(channels, dtype=self.dtype))
            for half in self.halves(own)
        )

    @torch.no_grad()
    def lesson(self, teacher: Answer, question: Question) -> None:
        """Count the teacher's values below 0; see `Loss.lesson`."""
        maps = maps_of(teacher, "teacher", self.name)[-1].to(self.below.dtype)
        if question.done == 0:
            self.below.zero_()
            self.count.zero_()
        self.below += maps.clamp(max=0).sum(dim=(0, 2, 3)).reshape(self.below.shape)
        self.count += (maps < 0).sum(dim=(0, 2, 3)).reshape(self.count.shape)

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own, target = maps_of(student, "student", self.name)[-1], maps_of(teacher, "teacher", self.name)[-1]
        # The margins are those of the map as it is, so they come before averaging; the connectors, cheaper, after it.
        margins = self.below / self.count.clamp(min=1)
        own, target = level(own.to(self.dtype), target.to(margins.dtype).maximum(margins))
        inherits, explores = self.halves(own)
        near, far = (comparable(half, target, "maps", "the loss was made for another teacher")
                     for half in (self.inheritor(inherits), self.explorer(explores)))
        return partial(*near) + self.explore * cosine(*far)
