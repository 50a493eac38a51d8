"""Embedding mimicking, stage by stage: with the anchors of a route it is Route Constrained Optimization.

RCO (Jin et al., ICCV 2019) is a schedule of anchors, not a loss: this method changes its teacher at the beginning of
each stage, and the loop carries the student's weights over. With one anchor it is plain mimicking of that teacher.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from facekd.config import HeadRecipe, MimicRecipe
from facekd.data.loader import Batch
from facekd.heads import create_head
from facekd.losses.embeddings import cosine, l2
from facekd.models.inputs import to_input
from facekd.models.registry import FaceModel
from facekd.route.teacher import Teacher
from facekd.training.method import Method, Stage


class Mimic(Method):
    """Brings the student's embeddings to the anchor's.

    Args:
        student: the network.
        recipe: weights of the terms.
        teacher: gives the teacher of a route point.
        dimension: length of the teacher's embeddings; where the student's differs, a linear projection joins the
            training (and is not part of the student that leaves).
        head: of the term on labels.
        classes: identities of the training set.
    """

    student: FaceModel

    def __init__(self, student: FaceModel, recipe: MimicRecipe, teacher: Callable[[int], Teacher], dimension: int,
                 head: HeadRecipe, classes: int) -> None:
        super().__init__()
        self.student, self.recipe, self._teacher_of = student, recipe, teacher
        embedding = student.spec.embedding
        self.projection = nn.Identity() if embedding == dimension else nn.Linear(embedding, dimension, bias=False)
        self.head = create_head(head.name, embedding, classes, head.scale, head.margin) if recipe.labels else None

    def begin(self, stage: Stage) -> None:
        """Take the stage's anchor as the teacher."""
        if stage.anchor is None:
            raise ValueError("mimicking needs an anchor in every stage")
        self._teacher = self._teacher_of(stage.anchor)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `Method.losses`: ``l2``, ``cosine`` and ``labels``, those whose weight is not 0."""
        own = self.student(to_input(batch.images))
        mimicking, target = self.projection(own), self._teacher.embeddings(batch)
        terms: dict[str, Tensor] = {}
        if self.recipe.l2:
            terms["l2"] = self.recipe.l2 * l2(mimicking, target, normalize=self.recipe.normalize)
        if self.recipe.cosine:
            terms["cosine"] = self.recipe.cosine * cosine(mimicking, target)
        if self.head is not None:
            terms["labels"] = self.recipe.labels * F.cross_entropy(self.head(own, batch.labels), batch.labels)
        return terms
