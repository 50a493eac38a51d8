"""Distillation: any mixture of registered losses between a student and the anchor of each stage.

Route Constrained Optimization (Jin et al., ICCV 2019) is a schedule of anchors, not a loss: this method changes its
teacher at the beginning of each stage, and the loop carries the student's weights over. With one anchor and ``kd`` it
is Hinton's distillation, with ``l2`` mimicking, with ``hint`` FitNets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facekd.answers import Answer, Question, Size
from facekd.config import HeadRecipe, LossRecipe
from facekd.data.loader import Batch
from facekd.errors import ModelError
from facekd.heads import create_head
from facekd.losses import create_loss, kind_of
from facekd.models.registry import Network
from facekd.models.taps import Tapped
from facekd.route.teacher import Teacher
from facekd.training.method import Method, Stage

LABELS = "labels"
"""The term that needs no teacher: the cross entropy of the head's logits."""


def looks_inside(losses: Mapping[str, LossRecipe], head: HeadRecipe) -> bool:
    """Whether a term looks at more than the networks' outputs, so that teachers must run live."""
    kinds = [kind_of(name) for name, recipe in losses.items() if name != LABELS and recipe.weight]
    return any(kind.maps or (kind.features and head.closed) for kind in kinds)


class Distillation(Method):
    """Brings the student's answers to the anchor's.

    Args:
        student: the network.
        losses: the terms by name, ``labels`` or a registered loss, with their weights and options.
        teacher: gives the teacher of route points.
        sample: an answer of such a teacher, to take sizes from. Where its outputs are longer or shorter than the
            student's embeddings, a linear projection joins the training (it is not part of the student that leaves).
        head: of the term on labels; ``softmax`` says that outputs are logits, one a class.
        size: of the training set.
    """

    student: Network

    def __init__(self, student: Network, losses: Mapping[str, LossRecipe], teacher: Callable[[Sequence[int]], Teacher],
                 sample: Answer, head: HeadRecipe, size: Size) -> None:
        super().__init__()
        self._closed = head.closed
        self.student, self._teacher_of = student, teacher
        self.weights = {name: recipe.weight for name, recipe in losses.items() if recipe.weight}
        if not set(self.weights) - {LABELS}:
            raise ModelError("losses: none follows a teacher; give e.g. losses.kd=0.9, or train by 'facekd teach'")
        for option in losses[LABELS].options if LABELS in losses else ():
            raise ModelError(f"loss labels: unknown option '{option}'; it has a weight and no options")
        for name in set(losses) - {LABELS}:
            if kind_of(name).logits and not head.closed:
                raise ModelError(f"loss {name} compares logits, and a face network has embeddings; use l2 or cosine")
        own, theirs = student.spec.outputs, sample.outputs.shape[1]
        if head.closed and own != theirs:
            raise ModelError(f"the teacher knows {theirs} classes and the data {own}; train both on the same classes")
        self.projection = nn.Identity() if own == theirs else nn.Linear(own, theirs, bias=False)
        self._ask = Tapped(student) if looks_inside(losses, head) else lambda x: Answer(student(x))
        mine, sample = self._sample(), self._features(sample)
        self.distances = nn.ModuleDict({
            name: create_loss(name, mine, sample, size, **losses[name].options)
            for name in self.weights if name != LABELS
        })
        scored = LABELS in self.weights
        self.head = create_head(head.name, own, size.classes, head.scale, head.margin) if scored else None

    def begin(self, stage: Stage) -> None:
        """Take the stage's anchors as the teacher."""
        if not stage.anchors:
            raise ValueError("distillation needs an anchor in every stage")
        self._teacher = self._teacher_of(stage.anchors)

    def losses(self, batch: Batch, done: float) -> dict[str, Tensor]:
        """See `Method.losses`: a term for each loss whose weight is not 0, under its name."""
        own = self._ask(self.student.inputs(batch.images))
        student, teacher = self._projected(own), self._features(self._teacher.answer(batch))
        question = Question(batch.labels, batch.index, done)
        terms = {name: self.weights[name] * loss(student, teacher, question)
                 for name, loss in self.distances.items()}
        if self.head is not None:
            logits = self.head(own.outputs, batch.labels)
            terms[LABELS] = self.weights[LABELS] * F.cross_entropy(logits.float(), batch.labels)
        return terms

    @torch.no_grad()
    def outputs(self, images: Tensor) -> Tensor:
        """What the student, as it is now, would be compared by: float32 [N, D], in evaluation mode.

        Args:
            images: uint8 [N, size, size, 3].
        """
        training = self.training
        answer = self._projected(Answer(self.eval().student(self.student.inputs(images))))
        self.train(training)
        return answer.outputs.float()

    def _projected(self, answer: Answer) -> Answer:
        return self._features(replace(answer, outputs=self.projection(answer.outputs)))

    def _features(self, answer: Answer) -> Answer:
        """A face network's features are its embeddings, and not what its last layer reads."""
        return answer if self._closed else replace(answer, read=None)

    @torch.no_grad()
    def _sample(self) -> Answer:
        size, device = self.student.spec.size, next(self.student.parameters()).device
        images = torch.zeros(2, size, size, 3, dtype=torch.uint8, device=device)
        training = self.student.training
        self.student.eval()
        answer = self._projected(self._ask(self.student.inputs(images)))
        self.student.train(training)
        return answer
