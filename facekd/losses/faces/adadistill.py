"""AdaDistill: class centres that follow the teacher's embeddings, and a margin softmax of the student against them."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.comparable import comparable, exact
from facekd.losses.faces.margin import margin_cross_entropy, refuse_unusable
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size
from facekd.utils.functional import unit

MARGINS = {"arcface": 0.45, "cosface": 0.35}
"""What the paper takes for each kind of margin."""

LEAST = 1e-6
"""Of its old self a centre keeps no smaller share."""


@register
class AdaDistill(Loss):
    """Margin cross entropy of the student against centres that move to the teacher (Boutros et al., ECCV 2024).

    A centre begins as a random direction. Each image moves the centre of its person y before the student is compared
    with it: w_y <- a w_y + (1 - a) t_i, a = clip(cos(s_i, t_i) cos(w_y, t_i), 1e-6, 1). While the student is weak, a is
    small and the centre is the teacher's embedding of the very image; later it is a mean of the person's. That
    centres move first, and that t_i has unit length there, is from memory of the paper. w keeps the length it gets;
    only its direction is looked at.

    Of several images of one person in a batch the mean of what each alone would make of the centre is taken; that is
    ours, as the paper does not say. Centres move while the loss is trained with, and stand still in evaluation mode or
    without gradients. They receive no gradient, nor does the student through a.

    Options:
        head: the kind of margin, "arcface" or "cosface".
        margin: below 0, the paper's for that kind: 0.45 or 0.35.
        scale: of the cosines.
    """

    name = "adadistill"
    paper = "Boutros et al., AdaDistill: Adaptive Knowledge Distillation for Deep Face Recognition, ECCV 2024"
    equation = (
        "mean_i CE(scale cos(s_i, w), margin on cos(s_i, w_y)), after w_y <- a w_y + (1 - a) t_i, "
        "a = clip(cos(s_i, t_i) cos(w_y, t_i), 1e-6, 1)"
    )
    origin = "1: the paper trains with it alone"
    alone = True
    faces = True
    remembers = True
    centres: Tensor

    def __init__(
        self,
        student: Answer,
        teacher: Answer,
        size: Size,
        *,
        head: str = "arcface",
        margin: float = -1.0,
        scale: float = 64.0,
    ) -> None:
        super().__init__(student, teacher, size)
        if head not in MARGINS:
            raise ModelError(f"loss adadistill: head must be one of {', '.join(MARGINS)}, not '{head}'")
        self.angular, self.scale = head == "arcface", scale
        self.margin = MARGINS[head] if margin < 0 else margin
        refuse_unusable(self.name, self.scale, self.margin)
        dtype = exact(teacher.outputs)
        self.register_buffer("centres", unit(torch.randn(size.classes, teacher.outputs.shape[1], dtype=dtype)))

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own, target = comparable(student.outputs, teacher.outputs, "embeddings", "give the student a projection")
        if own.shape[1] != self.centres.shape[1]:
            raise ModelError(f"loss adadistill: embeddings have {own.shape[1]} dimensions and its centres "
                             f"{self.centres.shape[1]}: make a new one for this teacher")
        if self.training and torch.is_grad_enabled():
            self._move(own.detach(), target, question.labels)
        return margin_cross_entropy(own, self.centres, question.labels, self.margin, scale=self.scale,
                                    angular=self.angular)

    def _move(self, own: Tensor, target: Tensor, labels: Tensor) -> None:
        """Move the centres of the people in a batch towards the teacher's embeddings [N, D] of them."""
        own, target = unit(own), unit(target)
        centres = self.centres[labels].to(target.dtype)
        kept = (own * target).sum(dim=1) * (unit(centres) * target).sum(dim=1)
        kept = kept.clamp(LEAST, 1)[:, None]
        moved = kept * centres + (1 - kept) * target
        first = (labels[:, None] == labels).int().argmax(dim=1)  # of each image, its person's first place in the batch
        sums = torch.zeros_like(moved).index_add_(0, first, moved)
        count = first.bincount(minlength=len(labels))[first]
        self.centres[labels] = (sums[first] / count[:, None]).to(self.centres.dtype)
