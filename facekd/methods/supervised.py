"""Supervised training of a network under a head: the method of teachers, and the baseline of students."""

from __future__ import annotations

from torch import Tensor

from facekd.config import HeadRecipe
from facekd.data.loading.loader import Batch
from facekd.methods.objective import LABELS
from facekd.models.registry import Network
from facekd.training.builders import build_head
from facekd.training.method import Method


class Supervised(Method):
    """Minimizes the loss of a head: the cross entropy of its logits (under ArcFace: Deng et al., CVPR 2019, eq. 3).

    Args:
        student: the network.
        recipe: the recipe of the head.
        classes: the number of classes of the training set.
    """

    student: Network
    all_parameters_used = True

    def __init__(self, student: Network, recipe: HeadRecipe, classes: int) -> None:
        super().__init__()
        self.student = student
        self.head = build_head(recipe, student.spec.outputs, classes)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """See `Method.losses`: the term ``labels``."""
        outputs = self.student(self.student.preprocess(batch.images))
        return {LABELS: self.head.loss(outputs, batch.labels)}
