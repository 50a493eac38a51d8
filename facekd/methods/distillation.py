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

from facekd.config import HeadRecipe, LossRecipe
from facekd.data.loading.loader import Batch, Loader
from facekd.distributed import place
from facekd.errors import ModelError
from facekd.heads import create_head
from facekd.losses import Loss, create_loss, kind_of
from facekd.methods.objective import LABELS, Mixture
from facekd.methods.pretraining import give_lessons
from facekd.models.feature_extractor import Tapped, aside, blank
from facekd.models.registry import Network
from facekd.route.teacher import Teacher
from facekd.training.method import Method, Stage
from facekd.types import Answer, Question, Size


class Distillation(Method):
    """Brings the student's answers to the anchor's.

    Args:
        student: the network.
        mixture: the terms by name, ``labels`` or a registered loss, with their weights and options.
        teacher: gives the teacher of route points.
        sample: an answer of such a teacher, to take sizes from. Where its outputs are longer or shorter than the
            student's embeddings, a linear projection joins the training (it is not part of the student that leaves).
        head: of the term on labels; ``softmax`` says that outputs are logits, one a class.
        loader: of the training set.
        taps: where the student's maps are taken, see `Tapped`.
    """

    student: Network
    taught: Tensor

    def __init__(self, student: Network, mixture: Mixture, teacher: Callable[[Sequence[int]], Teacher],
                 sample: Answer, head: HeadRecipe, loader: Loader, taps: Sequence[str] = ()) -> None:
        super().__init__()
        self._closed, self._loader = head.closed, loader
        self.student, self._teacher_of, self.terms = student, teacher, mixture.terms
        _check(self.terms, head.closed)
        own, theirs = student.spec.outputs, sample.outputs.shape[1]
        if head.closed and own != theirs:
            raise ModelError(f"the teacher knows {theirs} classes and the data {own}; train both on the same classes")
        self.projection = nn.Identity() if own == theirs else nn.Linear(own, theirs, bias=False)
        self._ask = Tapped(student, taps) if mixture.looks_inside(head.closed) else lambda x: Answer(student(x))
        self.distances = self._losses(self._aside(blank(student)), self._features(sample))
        _check_memories(self.distances)
        if pupils(self.distances):
            self.register_buffer("taught", torch.tensor(-1))
        scored = LABELS in self.terms
        self.head = create_head(outputs=own, classes=loader.images.classes, **dict(head)) if scored else None

    def begin(self, stage: Stage) -> None:
        """Take the stage's anchors as the teacher, and give the losses that need them lessons about it."""
        if not stage.anchors:
            raise ValueError("distillation needs an anchor in every stage")
        self._teacher = self._teacher_of(stage.anchors)
        lessons = self._lessons()
        if lessons and int(self.taught) != stage.anchors[-1]:  # a resumed run finds what was learnt in its checkpoint
            for loss, teacher in lessons:
                give_lessons(loss, teacher, self._loader.whole(), self.taught.device)
            self.taught.fill_(stage.anchors[-1])

    def losses(self, batch: Batch, done: float) -> dict[str, Tensor]:
        """See `Method.losses`: the terms that count by now, under their names."""
        own, weights, terms = self._ask(self.student.inputs(batch.images)), self._weights(done), dict[str, Tensor]()
        if weights.keys() - {LABELS}:  # else no teacher need be asked
            question = Question(batch.labels, batch.index, done)
            terms = weighed(weights, self.distances, self._projected(own), self._followed(batch), question)
        if self.head is not None and LABELS in weights:
            terms[LABELS] = weights[LABELS] * self.head.loss(own.outputs, batch.labels)
        return terms

    @torch.no_grad()
    def outputs(self, images: Tensor) -> Tensor:
        """What the student, as it is now, would be compared by: float32 [N, D], as `aside` has it.

        Args:
            images: uint8 [N, size, size, 3].
        """
        return self._aside(images).outputs.float()

    def _followed(self, batch: Batch) -> Answer:
        """The teacher's answer."""
        return self._features(self._teacher.answer(batch))

    def _losses(self, student: Answer, teacher: Answer) -> nn.ModuleDict:
        """The terms but labels, made for such answers."""
        size = Size(len(self._loader.images), self._loader.images.classes)
        return nn.ModuleDict({name: create_loss(name, student, teacher, size, **recipe.options)
                              for name, recipe in self.terms.items() if name != LABELS})

    def _weights(self, done: float) -> dict[str, float]:
        """Of the terms that count by now."""
        return {name: recipe.weight or 0.0 for name, recipe in self.terms.items() if recipe.begin <= done < recipe.end}

    def _lessons(self) -> list[tuple[Loss, Callable[[Batch], Answer]]]:
        """The losses that take lessons, and whose answers they are about."""
        return [(loss, self._followed) for loss in pupils(self.distances)]

    def _projected(self, answer: Answer) -> Answer:
        return self._features(replace(answer, outputs=self.projection(answer.outputs)))

    def _features(self, answer: Answer) -> Answer:
        """A face network's features are its embeddings, and not what its last layer reads."""
        return answer if self._closed else replace(answer, read=None)

    @torch.no_grad()
    def _aside(self, images: Tensor) -> Answer:
        """The student's answer as `aside` has it, projected."""
        return self._projected(aside(self.student, self._ask, images))


def pupils(losses: nn.ModuleDict) -> list[Loss]:
    """The losses that take lessons."""
    return [loss for loss in losses.values() if isinstance(loss, Loss) and loss.lessons > 0]


def weighed(weights: Mapping[str, float], losses: nn.ModuleDict, own: Answer, other: Answer,
            question: Question) -> dict[str, Tensor]:
    """The terms of the losses that have a weight, each multiplied by it; ``own`` receives the gradient."""
    return {name: weights[name] * loss(own, other, question) for name, loss in losses.items() if name in weights}


def _check_memories(losses: nn.ModuleDict) -> None:
    """What a loss remembers of the images it was shown is not told to other processes."""
    names = [name for name, loss in losses.items() if isinstance(loss, Loss) and loss.remembers]
    if names and place()[1] > 1:
        raise ModelError(f"losses.{names[0]} remembers what earlier batches showed it, which several processes do not "
                         "share; train in one process, or leave it out")


def _check(terms: Mapping[str, LossRecipe], closed: bool) -> None:
    """Some term must follow the teacher, and each must suit what the networks put out."""
    if not set(terms) - {LABELS}:
        raise ModelError("losses: none follows a teacher; give e.g. losses.kd=0.9, or train by 'facekd teach'")
    for option in terms[LABELS].options if LABELS in terms else ():
        raise ModelError(f"loss labels: unknown option '{option}'; it has a weight and no options")
    for name in set(terms) - {LABELS}:
        if kind_of(name).logits and not closed:
            raise ModelError(f"loss {name} compares logits, and a face network has embeddings; use l2 or cosine")
        if kind_of(name).faces and closed:
            raise ModelError(f"loss {name} compares embeddings of people, and a softmax head has logits; use kd")
