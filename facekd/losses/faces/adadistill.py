"""AdaDistill: a margin softmax of the student against class centers that follow the teacher's embeddings."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.comparable import check_comparable, compute_dtype
from facekd.losses.faces.margin import check_scale_and_margin, margin_cross_entropy
from facekd.losses.pairwise import row_cosines
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput
from facekd.utils.functional import l2_normalize

MARGINS = {"arcface": 0.45, "cosface": 0.35}
"""The paper's margin for each kind of margin."""

MIN_SHARE = 1e-6
"""The lower bound of a, the share of its old value that a center keeps."""


@register_loss
class AdaDistill(Loss):
    """Margin cross entropy of the student against centers that move to the teacher (Boutros et al., ECCV 2024).

    A class center starts as a random direction. Each image moves the center of its identity y before the student is
    compared with it: w_y <- a w_y + (1 - a) t_i, a = clip(cos(s_i, t_i) cos(w_y, t_i), 1e-6, 1). While the student is
    weak, a is small and the center is the teacher's embedding of the image itself; later it is a mean of the
    identity's. That centers move first, and that t_i has unit length there, is from memory of the paper. w is not
    normalized; only its direction matters.

    For several images of one identity in a batch, the new center is the mean of the centers that each image alone would
    give; that is ours, as the paper does not say. Centers move in training and are constant in evaluation mode or
    without gradients. They receive no gradient, nor does the student through a.

    Options:
        head: the kind of margin, "arcface" or "cosface".
        margin: the margin; below 0, the paper's for that kind: 0.45 or 0.35.
        scale: the factor of the cosines.
    """

    name = "adadistill"
    family = "faces"
    paper = "Boutros et al., AdaDistill: Adaptive Knowledge Distillation for Deep Face Recognition, ECCV 2024"
    equation = (
        "mean_i CE(scale cos(s_i, w), margin on cos(s_i, w_y)), after w_y <- a w_y + (1 - a) t_i, "
        "a = clip(cos(s_i, t_i) cos(w_y, t_i), 1e-6, 1)"
    )
    weight_source = "1: the paper trains with it alone"
    uses_labels = True
    works_without_label_term = True
    follows_embeddings = True
    needs_embeddings = True
    has_memory = True
    centers: Tensor

    def __init__(
        self,
        student: ModelOutput,
        teacher: ModelOutput,
        size: DatasetSize,
        *,
        head: str = "arcface",
        margin: float = -1.0,
        scale: float = 64.0,
    ) -> None:
        super().__init__(student, teacher, size)
        if head not in MARGINS:
            raise ModelError(f"loss adadistill: head must be one of {', '.join(MARGINS)}, not '{head}'")
        self.angular = head == "arcface"
        self.scale = scale
        self.margin = MARGINS[head] if margin < 0 else margin
        check_scale_and_margin(self.name, self.scale, self.margin)
        dtype = compute_dtype(teacher.outputs)
        self.register_buffer("centers", l2_normalize(torch.randn(size.classes, teacher.outputs.shape[1], dtype=dtype)))

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        embeddings, target = check_comparable(student.outputs, teacher.outputs, "embeddings",
                                              "give the student a projection")
        if embeddings.shape[1] != self.centers.shape[1]:
            raise ModelError(f"loss adadistill: embeddings have {embeddings.shape[1]} dimensions and its class centers "
                             f"{self.centers.shape[1]}: create a new loss for this teacher")
        if self.training and torch.is_grad_enabled():
            self._update_centers(embeddings.detach(), target, context.labels)
        return margin_cross_entropy(embeddings, self.centers, context.labels, self.margin, scale=self.scale,
                                    angular=self.angular)

    def _update_centers(self, student: Tensor, teacher: Tensor, labels: Tensor) -> None:
        """Move the centers of the identities in a batch towards the teacher's embeddings [N, D] of them."""
        centers = self.centers[labels].to(teacher.dtype)
        share = row_cosines(student, teacher) * row_cosines(centers, teacher)
        share = share.clamp(MIN_SHARE, 1)[:, None]
        moved = share * centers + (1 - share) * l2_normalize(teacher)
        # Average over the images of an identity: add each image's result to the row of the identity's first image.
        first = (labels[:, None] == labels).int().argmax(dim=1)
        sums = torch.zeros_like(moved).index_add_(0, first, moved)
        count = first.bincount(minlength=len(labels))[first]
        self.centers[labels] = (sums[first] / count[:, None]).to(self.centers.dtype)
