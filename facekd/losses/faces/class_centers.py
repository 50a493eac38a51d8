"""Class centers of a teacher's embeddings, which several losses of face recognition share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facekd.errors import ModelError
from facekd.losses.comparable import compute_dtype
from facekd.types import BatchContext, DatasetSize, ModelOutput
from facekd.utils.functional import l2_normalize


def class_sums(embeddings: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return the sum of the unit-length embeddings of every class.

    Args:
        embeddings: [N, D], of any length, any float dtype; receive no gradient.
        labels: the true classes, int64 [N].
        classes: the number of classes C.

    Returns:
        [C, D] in float32, or in float64 for float64 embeddings; zero for classes that are not among the labels.
    """
    embeddings = embeddings.detach()
    units = l2_normalize(embeddings.to(compute_dtype(embeddings)))
    return units.new_zeros(classes, units.shape[1]).index_add_(0, labels, units)


class ClassCenters(nn.Module):
    """Directions of the mean embedding of each class, accumulated in pretraining; they are state, and are not trained.

    A loss calls ``accumulate`` from its ``pretrain_loss`` and returns None there.

    Args:
        teacher: a sample output of the teacher, which gives the length of the embeddings.
        size: the size of the training set, which gives the number of classes.
        loss: the name of the loss, for the error message.
    """

    sums: Tensor

    def __init__(self, teacher: ModelOutput, size: DatasetSize, loss: str) -> None:
        super().__init__()
        self.loss = loss
        dtype = compute_dtype(teacher.outputs)
        self.register_buffer("sums", torch.zeros(size.classes, teacher.outputs.shape[1], dtype=dtype))

    @torch.no_grad()
    def accumulate(self, teacher: ModelOutput, context: BatchContext) -> None:
        """Add one batch of pretraining; the first batch (``progress`` 0) resets the sums."""
        batch_sums = self._class_sums(teacher.outputs, context.labels)
        self.sums.copy_(batch_sums if context.progress == 0 else self.sums + batch_sums)

    def centers(self) -> Tensor:
        """Return the class centers as unit rows [classes, D]; a class without images is a zero row."""
        return l2_normalize(self.sums)

    def centers_with_batch(self, teacher: Tensor, labels: Tensor) -> Tensor:
        """Return the class centers as unit rows [classes, D], with those of a batch for classes missing in pretraining.

        A class that is not in the batch either is a zero row.

        Args:
            teacher: the teacher's embeddings, float [N, D].
            labels: the true classes, int64 [N].
        """
        missing = (self.sums == 0).all(dim=1, keepdim=True)
        return l2_normalize(torch.where(missing, self._class_sums(teacher, labels), self.sums))

    def _class_sums(self, teacher: Tensor, labels: Tensor) -> Tensor:
        classes, width = self.sums.shape
        if teacher.shape[1] != width:
            raise ModelError(f"loss {self.loss}: the teacher's embeddings have {teacher.shape[1]} values and the class "
                             f"centers {width}: create a new loss for this teacher")
        return class_sums(teacher, labels, classes).to(self.sums.dtype)
