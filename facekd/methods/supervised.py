"""Training on labels: a network under a head; how teachers are made, and the students' first control."""

from __future__ import annotations

from torch import Tensor

from facekd.config import HeadRecipe
from facekd.data.loading.loader import Batch
from facekd.heads import create_head
from facekd.models.registry import Network
from facekd.training.method import Method


class Labels(Method):
    """The head's loss: the cross entropy of its logits (under ArcFace: Deng et al., CVPR 2019, eq. 3).

    Args:
        student: the network.
        recipe: the head.
        classes: of the training set.
    """

    student: Network
    uses_all = True

    def __init__(self, student: Network, recipe: HeadRecipe, classes: int) -> None:
        super().__init__()
        self.student = student
        self.head = create_head(outputs=student.spec.outputs, classes=classes, **dict(recipe))

    def losses(self, batch: Batch, done: float) -> dict[str, Tensor]:
        """See `Method.losses`: ``labels``."""
        return {"labels": self.head.loss(self.student(self.student.inputs(batch.images)), batch.labels)}
