"""Margin distillation: a margin softmax of the student against the teacher's class centers."""

from __future__ import annotations

import math

from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.comparable import check_comparable
from facekd.losses.faces.class_centers import ClassCenters
from facekd.losses.faces.margin import check_scale_and_margin, margin_cross_entropy
from facekd.losses.pairwise import row_cosines
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput


@register_loss
class MarginDistillation(Loss):
    """Margin cross entropy of the student against the teacher's class centers (Svitov & Alyamkin, 2020).

    The center of an identity is the direction of the mean of the teacher's unit embeddings of its images, computed in
    pretraining before the student follows the teacher; it receives no gradient. Each image has its own angular margin,
    from the angle between the teacher's embedding of it and its center: ``max_margin`` where they coincide,
    ``min_margin`` at a right angle and beyond, linear between. An image that is hard for the teacher itself thus has a
    smaller margin.

    From the paper are the teacher's centers and a margin by the teacher's angle. Ours, as we do not know its exact
    form, are the line between the two margins and their values; ``max_margin`` is ArcFace's margin.

    An identity missing in pretraining takes its center from the current batch, if it is in it.

    Options:
        scale: the factor of the cosines.
        max_margin: the margin in radians of an image at its center, below pi / 2.
        min_margin: the margin of an image at a right angle to its center; not above ``max_margin``.
        pretrain_epochs: the epochs over which the centers are computed; one covers every image once.
    """

    name = "margin-distillation-ours"
    family = "faces"
    paper = (
        "Svitov & Alyamkin, MarginDistillation: Distillation for Face Recognition Neural Networks with "
        "Margin-Based Softmax, 2020"
    )
    equation = (
        "mean_i CE(scale cos(s_i, c), cos(theta_i + m_i) for the true class), c the teacher's class centers, "
        "m_i = max_margin - (max_margin - min_margin) min(1, angle(t_i, c_y) / (pi / 2))"
    )
    weight = 1.0
    weight_source = "ours: 1, as it takes the place of a margin softmax"
    uses_labels = True
    works_without_label_term = True
    follows_embeddings = True
    needs_embeddings = True

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, scale: float = 64.0,
        max_margin: float = 0.5, min_margin: float = 0.2, pretrain_epochs: float = 1.0,
    ) -> None:
        super().__init__(student, teacher, size)
        check_scale_and_margin(self.name, scale, max_margin)
        if min_margin > max_margin:
            raise ModelError(f"loss {self.name}: min_margin is {min_margin} and max_margin {max_margin}: "
                             "give max_margin the larger margin")
        self.scale = scale
        self.max_margin = max_margin
        self.min_margin = min_margin
        self.pretrain_epochs = pretrain_epochs
        self.class_centers = ClassCenters(teacher, size, self.name)

    def pretrain_loss(self, teacher: ModelOutput, context: BatchContext) -> None:
        """See `Loss.pretrain_loss`: accumulate the class centers; nothing is trained."""
        self.class_centers.accumulate(teacher, context)

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        embeddings, target = check_comparable(student.outputs, teacher.outputs, "embeddings",
                                              "give the student a projection")
        centers = self.class_centers.centers_with_batch(target, context.labels)
        margins = self._margins(target, centers[context.labels].to(target.dtype))
        return margin_cross_entropy(embeddings, centers, context.labels, margins, scale=self.scale)

    def _margins(self, teacher: Tensor, centers: Tensor) -> Tensor:
        """Return the margin [N] of each image, from the teacher's embeddings [N, D] and their class centers [N, D]."""
        angles = row_cosines(teacher, centers).clamp(-1, 1).acos()
        return self.max_margin - (self.max_margin - self.min_margin) * (angles / (math.pi / 2)).clamp(max=1)
