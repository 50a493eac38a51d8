"""One instance of every training method, for tests of what all methods have in common."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from facekd.config import HeadRecipe, JointTeacherRecipe, LossRecipe
from facekd.data.loading.loader import Batch
from facekd.losses import get_loss_class, list_losses
from facekd.methods.distillation import Distillation, build_distillation
from facekd.methods.objective import parse_objective
from facekd.methods.online import OnlineDistillation, build_online_distillation
from facekd.methods.supervised import Supervised
from facekd.models.registry import Network, create
from facekd.route.teacher import Teacher
from facekd.training.method import Method
from facekd.types import ModelOutput
from tests.methods.noise import noise_loader

ARCFACE = HeadRecipe(scale=16)
SOFTMAX = HeadRecipe(name="softmax")
LOADER = noise_loader()


class TableTeacher(Teacher):
    """Random outputs, one row an image; they require a gradient, so that a gradient to the teacher is noticed."""

    def __init__(self, seed: int, dimension: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.dimension = dimension
        self.outputs = torch.randn(48, dimension, generator=generator).requires_grad_()
        colors = torch.randn(1, 5, 1, 1, generator=generator)  # similar in all images, so that they are learned quickly
        self.feature_maps = tuple(
            (colors + 0.1 * torch.randn(48, 5, side, side, generator=generator)).requires_grad_()
            for side in (16, 8, 2))
        self.pre_logits = torch.randn(48, 12, generator=generator).requires_grad_()

    @property
    def leaves(self) -> list[Tensor]:
        return [self.outputs, self.pre_logits, *self.feature_maps]

    def forward(self, batch: Batch) -> ModelOutput:
        return self._rows(batch.index)

    def example_output(self) -> ModelOutput:
        return self._rows(torch.arange(2))

    def _rows(self, index: Tensor) -> ModelOutput:
        return ModelOutput(self.outputs[index], tuple(m[index] for m in self.feature_maps), self.pre_logits[index])


TEACHERS = {8: TableTeacher(0, 8), 16: TableTeacher(1, 16)}
"""Teachers by the length of their outputs: 8 logits, or embeddings of length 16."""


def student(outputs: int = 16) -> Network:
    return create("resnet8", size=32, outputs=outputs, width=0.5)


def distillation(losses: dict[str, Any], outputs: int = 16, head: HeadRecipe = ARCFACE) -> Distillation:
    """A student of a frozen teacher; embeddings of length 8 need a projection."""
    teacher = TEACHERS[8 if head.closed_set else 16]
    recipes = {name: LossRecipe.model_validate(value) for name, value in losses.items()}
    objective = parse_objective("", recipes, head.closed_set)
    return build_distillation(student(outputs), objective, lambda points: teacher, teacher.example_output(), head,
                              LOADER)


def online(method: str, head: HeadRecipe = ARCFACE, **joint_teacher: Any) -> OnlineDistillation:
    """A student that is trained jointly with its teacher."""
    outputs = 8 if head.closed_set else 16
    objective = parse_objective(method, {}, head.closed_set)
    recipe = JointTeacherRecipe(**joint_teacher)
    return build_online_distillation(student(outputs), student(outputs), objective, recipe, head, LOADER)


def usual_labels(name: str) -> dict[str, float]:
    """The term on labels of a face loss that is not used without labels."""
    loss_class = get_loss_class(name)
    return {"labels": 0.1} if loss_class.needs_embeddings and not loss_class.works_without_label_term else {}


EMBEDDING_LOSSES = [name for name in list_losses() if not get_loss_class(name).needs_logits]
LOGIT_LOSSES = [name for name in list_losses() if not get_loss_class(name).needs_embeddings]
METHODS: dict[str, Callable[[], Method]] = {
    "labels alone": lambda: Supervised(student(), ARCFACE, 8),
    "labels of a closed set alone": lambda: Supervised(student(8), SOFTMAX, 8),
    **{name: partial(distillation, {name: get_loss_class(name).weight, **usual_labels(name)})
       for name in EMBEDDING_LOSSES},
    **{f"{name} of a closed set, and labels":
       partial(distillation, {name: get_loss_class(name).weight, "labels": 0.1}, 8, SOFTMAX) for name in LOGIT_LOSSES},
    "l2 of raw embeddings": lambda: distillation({"l2": {"normalize": False}}),
    "everything": lambda: distillation({**dict.fromkeys(EMBEDDING_LOSSES, 0.5), "labels": 0.1}),
    "everything of a closed set":
        lambda: distillation({**dict.fromkeys(LOGIT_LOSSES, 0.5), "labels": 0.1}, 8, SOFTMAX),
    "prokt": lambda: online("prokt"),
    "prokt of a closed set": lambda: online("prokt", SOFTMAX, zero_init_classifier=False),
    "prokt of a closed set, dual":
        lambda: online("prokt", SOFTMAX, zero_init_classifier=False, mode="dual", epsilon=0.1),
    "dml": lambda: online("dml"),
    "dml of a closed set, and rkd": lambda: online("dml + rkd", SOFTMAX),
    "projection": lambda: distillation({"l2": 1}, outputs=8),
    "projection, and everything":
        lambda: distillation({**dict.fromkeys(EMBEDDING_LOSSES, 0.5), "labels": 0.1}, outputs=8),
}
"""Functions that make every method, by a description."""
