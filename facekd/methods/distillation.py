"""Distillation: weighted sums of registered losses between a student and the anchor of each stage.

Route Constrained Optimization (Jin et al., ICCV 2019) is a schedule of anchors, not a loss: the method changes its
teacher at the beginning of each stage, and the student keeps its weights. With one anchor and ``kd`` it is Hinton's
distillation, with ``l2`` mimicking, with ``hint`` FitNets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from facekd.config import HeadRecipe
from facekd.data.loading.loader import Batch, Loader
from facekd.io.training_log import TEACHER_COSINE
from facekd.losses import Loss
from facekd.losses.pairwise import row_cosines
from facekd.methods.objective import LABELS, Objective
from facekd.methods.pretraining import losses_to_pretrain, pretrain_on_teacher
from facekd.methods.student_parts import StudentParts, build_student_parts, comparable_output, weighted_losses
from facekd.models.feature_extractor import evaluation_mode, forward_without_side_effects
from facekd.models.registry import Network
from facekd.route.teacher import Teacher
from facekd.training.method import Method, Stage
from facekd.types import BatchContext, ModelOutput

NO_ANCHOR = -1
"""The value of ``Distillation.pretrained_for`` before the first pretraining."""


class Distillation(Method):
    """Trains a student to reproduce the outputs of its teachers; `build_distillation` makes one.

    Args:
        parts: the student and the modules of its objective.
        teacher_for: maps route points to their teacher.
        loader: the loader of the training set.

    Attributes:
        anchors: the route points of the current stage.
    """

    student: Network
    pretrained_for: Tensor
    anchors: tuple[int, ...] = ()

    def __init__(self, parts: StudentParts, teacher_for: Callable[[Sequence[int]], Teacher], loader: Loader) -> None:
        super().__init__()
        self.student = parts.student
        self.projection = parts.projection
        self.distillation_losses = parts.losses
        self.head = parts.head
        self.terms = parts.terms
        self._extractor = parts.extractor
        self._closed_set = parts.closed_set
        self._teacher_for = teacher_for
        self._loader = loader
        if losses_to_pretrain(self.distillation_losses):
            self.register_buffer("pretrained_for", torch.tensor(NO_ANCHOR))

    def on_stage_start(self, stage: Stage) -> None:
        """Set the anchors of the stage as the teacher, and pretrain the teacher modules of the losses on it.

        Raises:
            ValueError: the stage has no anchor.
        """
        if not stage.anchors:
            raise ValueError("distillation needs an anchor in every stage")
        self.anchors = stage.anchors
        self._teacher = self._teacher_for(stage.anchors)
        pretraining = self._pretraining_targets()
        # The checkpoint of a resumed run contains the pretrained modules, so that they are not trained again.
        if pretraining and int(self.pretrained_for) != stage.anchors[-1]:
            for loss, target in pretraining:
                pretrain_on_teacher(loss, target, self._loader.for_rank(0, 1), self.pretrained_for.device)
            self.pretrained_for.fill_(stage.anchors[-1])

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """See `Method.losses`: the active terms by name. `metrics` are the cosine of embeddings to the teacher's."""
        output = self._extractor(self.student.preprocess(batch.images))
        weights = self._active_weights(progress)
        terms: dict[str, Tensor] = {}
        self.metrics = {}
        if weights.keys() - {LABELS}:  # otherwise the teacher need not run
            context = BatchContext(batch.labels, batch.index, progress)
            projected, teacher_output = self._projected(output), self._teacher_output(batch)
            terms = weighted_losses(weights, self.distillation_losses, projected, teacher_output, context)
            if not self._closed_set:
                self.metrics = {TEACHER_COSINE: _mean_cosine(projected.outputs, teacher_output.outputs)}
        if self.head is not None and LABELS in weights:
            terms[LABELS] = weights[LABELS] * self.head.loss(output.outputs, batch.labels)
        return terms

    @torch.no_grad()
    def outputs(self, images: Tensor) -> Tensor:
        """Return the current student's projected outputs: float32 [N, D], see `forward_without_side_effects`.

        Args:
            images: uint8 [N, size, size, 3].
        """
        return self._detached_output(images).outputs.float()

    @torch.no_grad()
    def evaluated_outputs(self, images: Tensor) -> Tensor:
        """Return the projected outputs of the student in evaluation mode: float32 [N, D]; the student is not changed.

        Args:
            images: uint8 [N, size, size, 3].
        """
        with evaluation_mode(self.student):
            output = self._extractor(self.student.preprocess(images))
        return self._projected(output).outputs.float()

    def differentiable_outputs(self, images: Tensor) -> Tensor:
        """Return the current student's projected outputs with gradient: float32 [N, D].

        Args:
            images: uint8 [N, size, size, 3].
        """
        return self._projected(self._extractor(self.student.preprocess(images))).outputs.float()

    def _teacher_output(self, batch: Batch) -> ModelOutput:
        return comparable_output(self._teacher.forward(batch), self._closed_set)

    def _active_weights(self, progress: float) -> dict[str, float]:
        """Return the weights of the terms that are active at this share of the training."""
        return {name: recipe.weight or 0.0 for name, recipe in self.terms.items()
                if recipe.begin <= progress < recipe.end}

    def _pretraining_targets(self) -> list[tuple[Loss, Callable[[Batch], ModelOutput]]]:
        """Return the losses with teacher modules, each with the function whose outputs these modules learn."""
        return [(loss, self._teacher_output) for loss in losses_to_pretrain(self.distillation_losses)]

    def _projected(self, output: ModelOutput) -> ModelOutput:
        projected = replace(output, outputs=self.projection(output.outputs))
        return comparable_output(projected, self._closed_set)

    @torch.no_grad()
    def _detached_output(self, images: Tensor) -> ModelOutput:
        return self._projected(forward_without_side_effects(self.student, self._extractor, images))


@torch.no_grad()
def _mean_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean cosine of the rows of two batches of embeddings, [N, D]: a float32 scalar without gradient."""
    return row_cosines(student.detach().float(), teacher.detach().float()).mean()


def build_distillation(student: Network, objective: Objective, teacher_for: Callable[[Sequence[int]], Teacher],
                       teacher_output: ModelOutput, head: HeadRecipe, loader: Loader, *,
                       feature_layers: Sequence[str] = ()) -> Distillation:
    """Build the distillation of a student from frozen anchors.

    Args:
        student: the network.
        objective: the terms of the loss.
        teacher_for: maps route points to their teacher.
        teacher_output: an example output of such a teacher; the modules of the losses take their sizes from it.
        head: the head of the term on labels; ``softmax`` means that outputs are logits, one for each class.
        loader: the loader of the training set.
        feature_layers: the modules whose outputs are the student's feature maps, see `FeatureExtractor`.

    Raises:
        ModelError: terms that do not fit the networks, or an unknown option of a loss.
    """
    parts = build_student_parts(student, objective, teacher_output, head, loader, feature_layers)
    return Distillation(parts, teacher_for, loader)
