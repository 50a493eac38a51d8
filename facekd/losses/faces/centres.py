"""What losses of face recognition share: the direction of every person's mean embedding, and cosines with them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.comparable import exact
from facekd.types import Answer, Question, Size
from facekd.utils.functional import unit


def cosines(embeddings: Tensor, directions: Tensor) -> Tensor:
    """Cosine of every embedding with every direction, in their own precision even under autocast.

    Args:
        embeddings: float [N, D], of any length.
        directions: float [M, D] of the same dtype, of any length; a zero row gives 0.

    Returns:
        [N, M]; rounding may pass 1 by a few units in the last place.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        return functional.linear(unit(embeddings), unit(directions))


def class_sums(embeddings: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Sum of the unit embeddings of every class.

    Args:
        embeddings: float [N, D], of any length, in any float dtype; no gradient passes.
        labels: int64 [N].
        classes: C.

    Returns:
        [C, D] in float32, or in float64 for float64 embeddings; zero for classes that are not among the labels.
    """
    embeddings = embeddings.detach()
    units = unit(embeddings.to(exact(embeddings)))
    return units.new_zeros(classes, units.shape[1]).index_add_(0, labels, units)


class Centres(nn.Module):
    """Mean directions of a teacher's embeddings, one a class, looked at in lessons; they are state, never trained.

    A loss calls ``look`` from its ``lesson`` and returns None there.

    Args:
        teacher: a sample answer, for the embeddings' width.
        size: of the training set, for the number of classes.
        loss: the name of the loss that asks, for the error's sentence.
    """

    sums: Tensor

    def __init__(self, teacher: Answer, size: Size, loss: str) -> None:
        super().__init__()
        self.loss = loss
        dtype = exact(teacher.outputs)
        self.register_buffer("sums", torch.zeros(size.classes, teacher.outputs.shape[1], dtype=dtype))

    @torch.no_grad()
    def look(self, teacher: Answer, question: Question) -> None:
        """One batch of a lesson; its first batch (``done`` 0) forgets what was seen before."""
        seen = self._sums_of(teacher.outputs, question.labels)
        self.sums.copy_(seen if question.done == 0 else self.sums + seen)

    def directions(self) -> Tensor:
        """Unit rows [classes, D]; a class never seen is a zero row."""
        return unit(self.sums)

    def directions_with(self, teacher: Tensor, labels: Tensor) -> Tensor:
        """Unit rows [classes, D]; a class no lesson has shown takes its direction from this batch, if it is here.

        Args:
            teacher: the teacher's embeddings, float [N, D].
            labels: int64 [N].
        """
        unseen = (self.sums == 0).all(dim=1, keepdim=True)
        return unit(torch.where(unseen, self._sums_of(teacher, labels), self.sums))

    def _sums_of(self, teacher: Tensor, labels: Tensor) -> Tensor:
        classes, width = self.sums.shape
        if teacher.shape[1] != width:
            raise ModelError(f"loss {self.loss}: the teacher's embeddings are of {teacher.shape[1]} values and the "
                             f"centres of {width}: make a new loss for this teacher")
        return class_sums(teacher, labels, classes).to(self.sums.dtype)
