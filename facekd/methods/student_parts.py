"""The student of a distillation with the modules of its objective: projection, losses and head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from facekd.config import HeadRecipe, LossRecipe
from facekd.data.loading.loader import Loader
from facekd.distributed import get_world_size
from facekd.errors import ModelError
from facekd.heads.base import Head
from facekd.losses import Loss, create_loss, get_loss_class
from facekd.methods.objective import LABELS, Objective
from facekd.models.feature_extractor import FeatureExtractor, dummy_input, forward_without_side_effects
from facekd.models.registry import Network
from facekd.training.builders import build_head
from facekd.types import BatchContext, DatasetSize, ModelOutput


@dataclass(frozen=True)
class StudentParts:
    """A student with the modules of its objective.

    Attributes:
        student: the network.
        extractor: the network with the intermediate outputs that the losses need.
        projection: maps the student's embeddings to the teacher's dimension; the identity if the dimensions are equal.
            It is trained, and is not part of the exported student.
        losses: the distillation losses by name.
        head: the head of the term on labels; None without that term.
        terms: the terms of the objective by name, with weight, begin and end.
        closed_set: whether outputs are logits.
    """

    student: Network
    extractor: FeatureExtractor
    projection: nn.Module
    losses: nn.ModuleDict
    head: Head | None
    terms: Mapping[str, LossRecipe]
    closed_set: bool


def build_student_parts(student: Network, objective: Objective, teacher_output: ModelOutput, head: HeadRecipe,
                        loader: Loader, feature_layers: Sequence[str]) -> StudentParts:
    """Build the modules of a student's objective.

    The arguments are those of `facekd.methods.distillation.build_distillation`.

    Raises:
        ModelError: terms that do not fit the networks, or an unknown option of a loss.
    """
    closed_set = head.closed_set
    _check_terms(objective.terms, closed_set)
    student_dimension = student.spec.outputs
    teacher_dimension = teacher_output.outputs.shape[1]
    if closed_set and student_dimension != teacher_dimension:
        raise ModelError(f"the teacher knows {teacher_dimension} classes and the data {student_dimension}; train both "
                         "on the same classes")
    projection: nn.Module = nn.Identity()
    if student_dimension != teacher_dimension:
        projection = nn.Linear(student_dimension, teacher_dimension, bias=False)
    extractor = FeatureExtractor(student, feature_layers, objective.needs_live_teacher(closed_set))
    student_output = example_student_output(extractor, projection, closed_set)
    losses = build_losses(objective.terms, student_output, comparable_output(teacher_output, closed_set), loader)
    _check_memories(losses)
    label_head = None
    if LABELS in objective.terms:
        label_head = build_head(head, student_dimension, loader.images.num_classes)
    return StudentParts(student, extractor, projection, losses, label_head, objective.terms, closed_set)


@torch.no_grad()
def example_student_output(extractor: FeatureExtractor, projection: nn.Module, closed_set: bool) -> ModelOutput:
    """Return a student's projected output for two arbitrary images; losses take the sizes of their modules from it."""
    student = extractor.network
    output = forward_without_side_effects(student, extractor, dummy_input(student))
    return comparable_output(replace(output, outputs=projection(output.outputs)), closed_set)


def build_losses(terms: Mapping[str, LossRecipe], student_output: ModelOutput, teacher_output: ModelOutput,
                 loader: Loader) -> nn.ModuleDict:
    """Create the losses of all terms but the labels.

    Args:
        terms: the terms of the objective by name.
        student_output: an example output of the network that is trained.
        teacher_output: an example output of the network that it follows.
        loader: the loader of the training set.
    """
    size = DatasetSize(len(loader.images), loader.images.num_classes)
    return nn.ModuleDict({name: create_loss(name, student_output, teacher_output, size, **recipe.options)
                          for name, recipe in terms.items() if name != LABELS})


def comparable_output(output: ModelOutput, closed_set: bool) -> ModelOutput:
    """Return the output as losses compare it: the features of a face network are its embeddings, not its pre-logits."""
    return output if closed_set else replace(output, pre_logits=None)


def weighted_losses(weights: Mapping[str, float], losses: nn.ModuleDict, student: ModelOutput, teacher: ModelOutput,
                    context: BatchContext) -> dict[str, Tensor]:
    """Return the weighted terms of the losses that have a weight.

    Args:
        weights: the weights of the active terms by name.
        losses: the losses by name.
        student: the output of the network that is trained; it receives the gradient.
        teacher: the output of the network that it follows.
        context: labels, indices and progress of the batch.
    """
    return {name: weights[name] * loss(student, teacher, context) for name, loss in losses.items() if name in weights}


def _check_memories(losses: nn.ModuleDict) -> None:
    """Refuse losses that store earlier batches in multi-process training: each process sees its own images only."""
    names = [name for name, loss in losses.items() if isinstance(loss, Loss) and loss.has_memory]
    if names and get_world_size() > 1:
        raise ModelError(f"losses.{names[0]} remembers earlier batches, and several processes do not share them; train "
                         "in one process, or leave it out")


def _check_terms(terms: Mapping[str, LossRecipe], closed_set: bool) -> None:
    """Check that a term follows the teacher, and that each term fits the outputs of the networks."""
    if not set(terms) - {LABELS}:
        raise ModelError("losses: none follows a teacher; give e.g. losses.kd=0.9, or train by 'facekd train'")
    for option in terms[LABELS].options if LABELS in terms else ():
        raise ModelError(f"loss labels: unknown option '{option}'; it has a weight and no options")
    for name in set(terms) - {LABELS}:
        if get_loss_class(name).needs_logits and not closed_set:
            raise ModelError(f"loss {name} compares logits, and a face network has embeddings; use l2 or cosine")
        if get_loss_class(name).needs_embeddings and closed_set:
            raise ModelError(f"loss {name} compares face embeddings, and a softmax head has logits; use kd")
