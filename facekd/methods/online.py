"""Online distillation: a teacher that is trained jointly with its student, by ProKT or deep mutual learning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from facekd.config import HeadRecipe, JointTeacherRecipe
from facekd.data.loading.loader import Batch, Loader
from facekd.distributed import all_reduce_mean
from facekd.heads.base import Head
from facekd.losses import Loss
from facekd.losses.responses.embeddings import cosine_loss
from facekd.losses.responses.kd import kl_divergence
from facekd.methods.distillation import Distillation
from facekd.methods.objective import LABELS, Objective
from facekd.methods.pretraining import losses_to_pretrain
from facekd.methods.student_parts import (
    StudentParts,
    build_losses,
    build_student_parts,
    comparable_output,
    example_student_output,
    weighted_losses,
)
from facekd.models.registry import Network
from facekd.route.teacher import TrainingTeacher
from facekd.training.builders import build_head
from facekd.training.method import LossClosure
from facekd.types import BatchContext, ModelOutput


class OnlineDistillation(Distillation, ABC):
    """Takes two optimizer steps a batch: one of the teacher, then one of the student, to the updated teacher.

    Each network sees the other's outputs without dropout and with the batch's own statistics, which are not added to
    the running statistics. `build_online_distillation` makes one.

    Args:
        parts: the student and the modules of its objective.
        teacher: the joint teacher.
        teacher_head: the head of the teacher's term on labels.
        recipe: the training of the joint teacher, with the defaults of the method.
        loader: the loader of the training set.

    Attributes:
        name: the name of the method in recipes.
        joint_teacher: the teacher's network.
    """

    name: ClassVar[str]

    def __init__(self, parts: StudentParts, teacher: TrainingTeacher, teacher_head: Head, recipe: JointTeacherRecipe,
                 loader: Loader) -> None:
        super().__init__(parts, lambda points: teacher, loader)
        self.joint_teacher = teacher.network
        self.joint_teacher_head = teacher_head
        self.recipe = recipe
        self.lr_scales = dict.fromkeys(("joint_teacher", "joint_teacher_head"), recipe.lr_scale or 1.0)
        self._joint_teacher_extractor = teacher.extractor

    @property
    def networks(self) -> list[nn.Module]:
        """See `Method.networks`: the student and the teacher."""
        return [self.student, self.joint_teacher]

    def optimizer_passes(self, batch: Batch, progress: float) -> list[LossClosure]:
        """See `Method.optimizer_passes`: the teacher's terms as ``teacher.NAME``, then the student's."""
        return [lambda: self._named_teacher_terms(batch, progress), lambda: self.losses(batch, progress)]

    @abstractmethod
    def teacher_terms(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the named, weighted loss terms of the teacher for a batch.

        Args:
            batch: the images.
            progress: the completed share of the training, from 0 to below 1.
        """

    def _named_teacher_terms(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        return {f"teacher.{name}": term for name, term in self.teacher_terms(batch, progress).items()}


class ProKT(OnlineDistillation):
    """ProKT (Shi et al., Follow Your Path, ECML-PKDD 2021): the student draws the teacher towards itself.

    For classes, with the student's output p_s taken before either step, the teacher minimizes

        (1 - lambda) CE + lambda KL(p_s || q_t)     in the mode ``penalty``,
        CE + beta (KL(p_s || q_t) - epsilon)        in the mode ``dual``,

    where beta grows by dual_lr (KL - epsilon) after each step and is never below 0. For faces the first term is the
    loss of the margin head and the second 1 - cos of the embeddings, with weights 1 and lambda. The student minimizes
    KL(q_t || p_s) to the updated teacher. See `facekd.methods.online_registry` for sources and deviations.

    Attributes:
        beta: the weight of the distance in the mode ``dual``.
    """

    name = "prokt"
    beta: Tensor

    def __init__(self, parts: StudentParts, teacher: TrainingTeacher, teacher_head: Head, recipe: JointTeacherRecipe,
                 loader: Loader) -> None:
        super().__init__(parts, teacher, teacher_head, recipe, loader)
        self.register_buffer("beta", torch.tensor(1.0))

    def teacher_terms(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """See `OnlineDistillation.teacher_terms`: the labels and the distance to the student."""
        student_outputs = self.outputs(batch.images)
        teacher_outputs = self.joint_teacher(self.joint_teacher.preprocess(batch.images))
        labels = self.joint_teacher_head.loss(teacher_outputs, batch.labels)
        if self._closed_set:
            # kl_divergence(x, y) is KL(y || x): the first distribution of the formula is the second argument.
            distance_name, distance = "kd", kl_divergence(teacher_outputs, student_outputs).mean()
        else:
            distance_name, distance = "cosine", cosine_loss(teacher_outputs, student_outputs)
        if self.recipe.mode == "dual":
            return {LABELS: labels, distance_name: self._dual_term(distance)}
        label_weight = 1 - self.recipe.student_weight if self._closed_set else 1
        return {LABELS: label_weight * labels, distance_name: self.recipe.student_weight * distance}

    def _dual_term(self, distance: Tensor) -> Tensor:
        """Return beta (distance - epsilon), and update beta for the next step with the mean over all processes."""
        beta = self.beta.clone()
        mean_distance = all_reduce_mean(distance.detach().clone())
        self.beta.copy_((beta + self.recipe.dual_lr * (mean_distance - self.recipe.epsilon)).clamp(min=0))
        return beta * (distance - self.recipe.epsilon)


class DML(OnlineDistillation):
    """Deep mutual learning (Zhang et al., CVPR 2018): both networks minimize the same terms with the roles exchanged.

    Attributes:
        teacher_losses: the losses of the teacher, which follows the student.
    """

    name = "dml"

    def __init__(self, parts: StudentParts, teacher: TrainingTeacher, teacher_head: Head, recipe: JointTeacherRecipe,
                 loader: Loader) -> None:
        super().__init__(parts, teacher, teacher_head, recipe, loader)
        teacher_output = comparable_output(teacher.example_output(), parts.closed_set)
        student_output = example_student_output(parts.extractor, parts.projection, parts.closed_set)
        self.teacher_losses = build_losses(parts.terms, teacher_output, student_output, loader)

    def teacher_terms(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """See `OnlineDistillation.teacher_terms`: the student's terms with the roles exchanged."""
        output = self._joint_teacher_extractor(self.joint_teacher.preprocess(batch.images))
        weights = self._active_weights(progress)
        context = BatchContext(batch.labels, batch.index, progress)
        terms = weighted_losses(weights, self.teacher_losses, comparable_output(output, self._closed_set),
                                self._detached_output(batch.images), context)
        if LABELS in weights:
            terms[LABELS] = weights[LABELS] * self.joint_teacher_head.loss(output.outputs, batch.labels)
        return terms

    def _pretraining_targets(self) -> list[tuple[Loss, Callable[[Batch], ModelOutput]]]:
        """See `Distillation`; the teacher modules of the teacher's losses learn the student's outputs."""
        return [*super()._pretraining_targets(),
                *((loss, self._student_output) for loss in losses_to_pretrain(self.teacher_losses))]

    def _student_output(self, batch: Batch) -> ModelOutput:
        return self._detached_output(batch.images)


ONLINE_CLASSES: dict[str, type[OnlineDistillation]] = {cls.name: cls for cls in (DML, ProKT)}
"""The classes of the online methods by name."""


def build_online_distillation(student: Network, joint_teacher: Network, objective: Objective,
                              recipe: JointTeacherRecipe, head: HeadRecipe, loader: Loader, *,
                              student_layers: Sequence[str] = (), teacher_layers: Sequence[str] = ()
                              ) -> OnlineDistillation:
    """Build the joint training of a student and its teacher.

    Args:
        student: the student's network.
        joint_teacher: the teacher's network, with fresh or trained weights.
        objective: the student's terms and the name of the online method.
        recipe: the training of the joint teacher, with the defaults of the method.
        head: the head of the terms on labels.
        loader: the loader of the training set.
        student_layers: the modules whose outputs are the student's feature maps, see `FeatureExtractor`.
        teacher_layers: the modules whose outputs are the teacher's feature maps.

    Raises:
        ModelError: terms that do not fit the networks, or an unknown option of a loss.
        ValueError: the objective has no online method.
    """
    if objective.joint_teacher is None:
        raise ValueError("the objective names no online method")
    teacher = TrainingTeacher(joint_teacher, objective.needs_live_teacher(head.closed_set), teacher_layers)
    parts = build_student_parts(student, objective, teacher.example_output(), head, loader, student_layers)
    teacher_head = build_head(head, joint_teacher.spec.outputs, loader.images.num_classes)
    method = ONLINE_CLASSES[objective.joint_teacher](parts, teacher, teacher_head, recipe, loader)
    if isinstance(method, ProKT) and recipe.zero_init_classifier and recipe.fresh and head.closed_set:
        # Equal probabilities in both networks, and therefore no distance at the start.
        for network in (student, joint_teacher):
            for parameter in network.get_submodule(network.final_layer).parameters():
                nn.init.zeros_(parameter)
    return method
