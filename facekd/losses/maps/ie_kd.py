"""Inheritance and exploration: half of the student's channels follows the teacher's, the other half avoids them.

The public code calls the network that is trained "teacher" and the pretrained one "student"; here they have their usual
names.
"""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.losses.comparable import compute_dtype
from facekd.losses.feature_maps import require_feature_maps
from facekd.losses.maps.channel_split import ChannelSplit, check_choice, mean_abs_cosine
from facekd.losses.maps.factors import FactorCoder, FactorLoss, factor_distance, match_factors
from facekd.losses.pairwise import gram_matrix
from facekd.losses.registry import register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput


def cka(first: Tensor, second: Tensor) -> Tensor:
    """Return the linear CKA of two sets of feature maps over the batch (Kornblith et al., ICML 2019), from 0 to 1.

    <K, L> / (|K| |L|), with the Gram matrices K and L of each set's images after their mean is subtracted; 0 for a
    single image.
    """
    first_rows = first.flatten(1)
    second_rows = second.flatten(1)
    first_gram = gram_matrix(first_rows - first_rows.mean(dim=0))
    second_gram = gram_matrix(second_rows - second_rows.mean(dim=0))
    norms = torch.linalg.matrix_norm(first_gram) * torch.linalg.matrix_norm(second_gram)
    similarity: Tensor = (first_gram * second_gram).sum() / norms.clamp(min=torch.finfo(first_gram.dtype).tiny)
    return similarity


def negative_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return minus `factor_distance`: at most 0, and minimal where the two are opposite."""
    return -factor_distance(first, second)


EXPLORATIONS = {"cosine": mean_abs_cosine, "l1": negative_distance, "cka": cka}
"""The similarity of the teacher's factor and that of the exploring half, which training minimizes."""


@register_loss
class InheritExplore(FactorLoss):
    """d_1(Q, E_I(F_inh)) + exploration_weight * L_exp(Q, E_E(F_exp)) (IE-KD; with factor transfer's distance: IE-FT).

    Q is the factor of the teacher's last feature map, by a pretrained auto-encoder. The channels of the student's last
    feature map are split into two halves, F_inh and F_exp, each with its own encoder (`FactorCoder`) that is trained
    with the student. Only this loss distinguishes the halves: the student's next layer reads both. Where the factors'
    resolutions differ, the larger is averaged down. d_1 is `factor_distance`.

    The weights and the exploration of the paper's results are not known: its public code leaves them open. Ours are the
    weight, the cosine, which unlike "l1" never falls below 0, and ``exploration_weight``: a distance of unit vectors is
    a mean over some thousand elements and the cosine is not, so that with 0.1 the two terms start within a small factor
    of each other. With "l1" a weight of 1 has that effect. The public code trains the auto-encoder for 30 epochs.

    Options:
        split: "natural" (first and second half of the channels) or "random".
        split_seed: the seed of the random split.
        exploration: "cosine" (mean |cos|), "l1" (-d_1) or "cka" (linear CKA over the batch).
        exploration_weight: the weight of the exploration, relative to the inheritance.
        rate: the channels of the factor as a share of the teacher's, above 0 and at most 1.
        pretrain_epochs: the epochs of the auto-encoder's pretraining for each teacher.
    """

    name = "ie-kd"
    family = "maps"
    paper = "Huang et al., Revisiting Knowledge Distillation: An Inheritance and Exploration Framework, CVPR 2021"
    equation = "d_1(Q, E_I(F_inh)) + exploration_weight L_exp(Q, E_E(F_exp)), L_exp = mean |cos|, -d_1 or CKA"
    weight = 50.0
    weight_source = "ours"
    needs_feature_maps = True

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, split: str = "natural",
        split_seed: int = 0, exploration: str = "cosine", exploration_weight: float = 0.1, rate: float = 0.5,
        pretrain_epochs: float = 5.0,
    ) -> None:
        super().__init__(student, teacher, size, rate, pretrain_epochs)
        check_choice(exploration, tuple(EXPLORATIONS), "exploration", self.name)
        self.exploration = exploration
        self.exploration_weight = exploration_weight
        student_map = require_feature_maps(student, "student", self.name)[-1]
        self.split = ChannelSplit(student_map.shape[1], split, split_seed, self.name)
        inheriting, exploring = self.split(student_map)
        dtype = compute_dtype(student_map)
        self.inheritor = FactorCoder(inheriting.shape[1], self.extractor.channels, dtype)
        self.explorer = FactorCoder(exploring.shape[1], self.extractor.channels, dtype)

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        inheriting, exploring = self.split(require_feature_maps(student, "student", self.name)[-1])
        factor = self.factor(teacher)
        similarity = EXPLORATIONS[self.exploration](*match_factors(self.explorer(exploring), factor))
        inheritance = factor_distance(*match_factors(self.inheritor(inheriting), factor))
        return inheritance + self.exploration_weight * similarity
