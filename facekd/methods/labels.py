"""Training on labels: a network under a head; how teachers are made, and the students' first control."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from facekd.config import HeadRecipe
from facekd.data.loader import Batch
from facekd.heads import create_head
from facekd.models.registry import Network
from facekd.training.method import Method


class Labels(Method):
    """Cross entropy of the head's logits (for a margin head: ArcFace, Deng et al., CVPR 2019, eq. 3).

    Args:
        student: the network.
        recipe: the head.
        classes: of the training set.
    """

    student: Network

    def __init__(self, student: Network, recipe: HeadRecipe, classes: int) -> None:
        super().__init__()
        self.student = student
        self.head = create_head(recipe.name, student.spec.outputs, classes, recipe.scale, recipe.margin)

    def losses(self, batch: Batch, done: float) -> dict[str, Tensor]:
        """See `Method.losses`: ``labels``."""
        logits = self.head(self.student(self.student.inputs(batch.images)), batch.labels)
        return {"labels": F.cross_entropy(logits.float(), batch.labels)}
