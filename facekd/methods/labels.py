"""Training on labels: a network under a margin head; how teachers are made, and the students' first control."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from facekd.config import HeadRecipe
from facekd.data.loader import Batch
from facekd.heads import create_head
from facekd.models.inputs import to_input
from facekd.models.registry import FaceModel
from facekd.training.method import Method


class Labels(Method):
    """Cross entropy of a margin head's logits (ArcFace, Deng et al., CVPR 2019, eq. 3).

    Args:
        student: the network.
        recipe: the head.
        classes: identities of the training set.
    """

    student: FaceModel

    def __init__(self, student: FaceModel, recipe: HeadRecipe, classes: int) -> None:
        super().__init__()
        self.student = student
        self.head = create_head(recipe.name, student.spec.embedding, classes, recipe.scale, recipe.margin)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `Method.losses`: ``labels``."""
        embeddings = self.student(to_input(batch.images))
        return {"labels": F.cross_entropy(self.head(embeddings, batch.labels), batch.labels)}
