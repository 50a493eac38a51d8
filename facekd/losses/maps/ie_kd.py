"""Inheritance and exploration: half of the student's channels follow the teacher's, the other half keep away from it.

The public code calls the network that is trained "teacher" and the finished one "student"; here they have their names.
"""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.losses.comparable import exact
from facekd.losses.feature_maps import maps_of
from facekd.losses.maps.factors import Coder, FactorLoss, distance, levelled
from facekd.losses.maps.halves import Halves, cosine, one_of
from facekd.losses.pairwise import products
from facekd.losses.registry import register
from facekd.types import Answer, Question, Size


def cka(own: Tensor, target: Tensor) -> Tensor:
    """Linear CKA of two sets of maps over the batch (Kornblith et al., ICML 2019), from 0 to 1; 0 for one image.

    <K, L> / (|K| |L|), with the inner products K and L of each set's images after their mean is taken away.
    """
    own, target = (products(rows - rows.mean(dim=0)) for rows in (own.flatten(1), target.flatten(1)))
    lengths = torch.linalg.matrix_norm(own) * torch.linalg.matrix_norm(target)
    likeness: Tensor = (own * target).sum() / lengths.clamp(min=torch.finfo(own.dtype).tiny)
    return likeness


def apart(own: Tensor, target: Tensor) -> Tensor:
    """Minus `factors.distance`: at most 0, and least where the two are opposite."""
    return -distance(own, target)


EXPLORATIONS = {"cosine": cosine, "l1": apart, "cka": cka}
"""What is made small between the teacher's factor and that of the exploring half."""


@register
class InheritExplore(FactorLoss):
    """d_1(Q, E_I(F_inh)) + explore * L_exp(Q, E_E(F_exp)) (IE-KD, with the distance of factor transfer: IE-FT).

    Q is the factor of the teacher's last map, by an auto-encoder that learns in lessons. The student's last map is
    divided into two halves of its channels, F_inh and F_exp, each with an encoder of its own (`factors.Coder`) that
    learns with the student. The halves differ for this loss alone: what follows in the student reads both. Where the
    factors' sides differ, the larger is averaged down. d_1 is `factors.distance`.

    Which weights and which exploration the paper's results have is not known: its public code leaves them open. Ours
    are the weight, the cosine, which unlike "l1" never falls below 0, and ``explore``: a distance of unit vectors is a
    mean over some thousand elements and the cosine is not, so that with 0.1 the two begin within a few times of each
    other. With "l1" 1 does that. The public code trains the auto-encoder for 30 epochs.

    Options:
        divide: "natural" (first and second half of the channels) or "random".
        split_seed: of the random division.
        exploration: "cosine" (mean |cos|), "l1" (-d_1) or "cka" (linear CKA over the batch).
        explore: weight of the exploration beside the inheritance.
        rate: channels of the factor as a share of the teacher's, above 0 and at most 1.
        lessons: epochs of the auto-encoder's training for each teacher.
    """

    name = "ie-kd"
    paper = "Huang et al., Revisiting Knowledge Distillation: An Inheritance and Exploration Framework, CVPR 2021"
    equation = "d_1(Q, E_I(F_inh)) + explore * L_exp(Q, E_E(F_exp)), L_exp = mean |cos|, -d_1 or CKA"
    weight = 50.0
    origin = "ours"
    maps = True

    def __init__(
        self, student: Answer, teacher: Answer, size: Size, *, divide: str = "natural", split_seed: int = 0,
        exploration: str = "cosine", explore: float = 0.1, rate: float = 0.5, lessons: float = 5.0,
    ) -> None:
        super().__init__(student, teacher, size, rate, lessons)
        one_of(exploration, tuple(EXPLORATIONS), "exploration", self.name)
        self.exploration, self.explore = exploration, explore
        own = maps_of(student, "student", self.name)[-1]
        self.halves = Halves(own.shape[1], divide, split_seed, self.name)
        inherits, explores = (half.shape[1] for half in self.halves(own))
        self.inheritor = Coder(inherits, self.extractor.channels, exact(own))
        self.explorer = Coder(explores, self.extractor.channels, exact(own))

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        inherits, explores = self.halves(maps_of(student, "student", self.name)[-1])
        factor = self.factor(teacher)
        explored = EXPLORATIONS[self.exploration](*levelled(self.explorer(explores), factor))
        return distance(*levelled(self.inheritor(inherits), factor)) + self.explore * explored
