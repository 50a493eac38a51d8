"""The interface of distillation losses, and the registry that creates them by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

from facekd.config.options import resolve_options
from facekd.errors import ModelError, did_you_mean
from facekd.types import BatchContext, DatasetSize, ModelOutput

L = TypeVar("L", bound="Loss")

FAMILIES = ("responses", "maps", "relations", "faces")
"""What losses compare: outputs value by value, feature maps, relations among images, or embeddings of identities."""


class Loss(nn.Module, ABC):
    """A distance between a student's and a teacher's outputs for one batch.

    Modules that are trained with the student (regressors) are submodules of the loss. Modules that learn from the
    teacher alone, before the student does, are in ``teacher_modules``; they are trained by ``pretrain_loss``, and are
    frozen and in evaluation mode at any other time. Options are the keyword-only arguments of ``__init__``, each with a
    default.

    Args:
        student: a sample output of the student, which gives the sizes of trained modules.
        teacher: a sample output of the teacher, for the same purpose.
        size: the number of images and of classes of the training set.

    Attributes:
        name: the name of the loss in recipes.
        family: one of ``FAMILIES``.
        paper: authors, title or venue, year.
        equation: the formula in plain text, as it is computed.
        weight: the default weight of the loss.
        faces_weight: the default weight for face networks, where it differs.
        weight_source: the source of that weight.
        label_weight: the default weight of the cross entropy on labels next to this loss.
        works_without_label_term: whether a face network can follow the loss without a term on labels.
        follows_embeddings: whether it pulls the embedding of an image to the teacher's embedding of this image or to
            the teacher's center of its identity, so that a face network learns the teacher's space.
        warmup_share: the share of the training in which the loss acts alone by default, before labels count; 0 if
            labels count from the beginning.
        uses_labels: whether its formula uses the labels of the images.
        needs_feature_maps: whether it uses intermediate feature maps; the teacher must then run live.
        needs_features: whether it uses `ModelOutput.features`; the teacher of a closed set must then run live.
        needs_logits: whether its formula is one of class probabilities, so that it cannot compare embeddings.
        needs_embeddings: whether its formula is one of embeddings and identities, so that it cannot compare logits.
        has_memory: whether its buffers store information about earlier batches; processes do not share these buffers.
        pretrain_epochs: the epochs of pretraining before each new teacher is followed; may be fractional.
        teacher_modules: the modules that pretraining trains.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    paper: ClassVar[str]
    equation: ClassVar[str]
    weight: ClassVar[float] = 1.0
    faces_weight: ClassVar[float | None] = None
    weight_source: ClassVar[str]
    label_weight: ClassVar[float] = 1.0
    works_without_label_term: ClassVar[bool] = False
    follows_embeddings: ClassVar[bool] = False
    warmup_share: ClassVar[float] = 0.0
    uses_labels: ClassVar[bool] = False
    needs_feature_maps: ClassVar[bool] = False
    needs_features: ClassVar[bool] = False
    needs_logits: ClassVar[bool] = False
    needs_embeddings: ClassVar[bool] = False
    has_memory: ClassVar[bool] = False
    pretrain_epochs: float = 0.0

    def __init__(self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize) -> None:
        super().__init__()
        self.teacher_modules = nn.ModuleDict().eval()

    @classmethod
    def default_weight(cls, closed_set: bool) -> float:
        """Return the default weight of the loss for classifiers (a closed set) or for face networks."""
        return cls.weight if closed_set or cls.faces_weight is None else cls.faces_weight

    def train(self: L, mode: bool = True) -> L:
        """Set the mode of all modules but ``teacher_modules``, which stay in evaluation mode outside of pretraining."""
        super().train(mode)
        self.teacher_modules.eval()
        return self

    def pretrain_loss(self, teacher: ModelOutput, context: BatchContext) -> Tensor | None:
        """Return the loss of ``teacher_modules`` for one batch of pretraining.

        Args:
            teacher: the teacher's output for N images; receives no gradient.
            context: the batch's labels and indices; ``progress`` is the share of the pretraining done, 0 in the first
                batch.

        Returns:
            A scalar, or None where the call only updated statistics in buffers.
        """
        raise NotImplementedError(f"loss {self.name} has pretrain_epochs but no pretrain_loss")

    @abstractmethod
    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """Return the loss of one batch.

        Args:
            student: the student's output for N images, in any float dtype.
            teacher: the teacher's output for the same images; receives no gradient.
            context: the batch's labels and indices, and the progress of the training.

        Returns:
            A scalar in float32, or in float64 for float64 outputs, even under autocast.

        Raises:
            ModelError: the outputs cannot be compared.
        """


_LOSSES: dict[str, type[Loss]] = {}


def register_loss(loss_class: type[L]) -> type[L]:
    """Add a loss to the registry under its ``name``; to be used as a decorator.

    Raises:
        ModelError: the class has no valid ``family``.
    """
    family = getattr(loss_class, "family", None)
    if family not in FAMILIES:
        raise ModelError(f"loss {loss_class.name}: its attribute 'family' must be one of {', '.join(FAMILIES)}, "
                         f"not {family!r}")
    _LOSSES[loss_class.name] = loss_class
    return loss_class


@contextmanager
def registered(*loss_classes: type[Loss]) -> Iterator[None]:
    """Register losses for the length of a ``with`` block, e.g. in a test.

    At the end of the block the registry is as before, also without losses that were registered within the block.
    """
    before = dict(_LOSSES)
    try:
        for loss_class in loss_classes:
            register_loss(loss_class)
        yield
    finally:
        _LOSSES.clear()
        _LOSSES.update(before)


def list_losses() -> list[str]:
    """Return the names of all losses, sorted."""
    return sorted(_LOSSES)


def get_loss_class(name: str) -> type[Loss]:
    """Return the class of a loss; its attributes say what the loss needs before any output exists.

    Raises:
        ModelError: an unknown name.
    """
    if name not in _LOSSES:
        raise ModelError(f"unknown loss '{name}': {did_you_mean(name, list_losses())}")
    return _LOSSES[name]


def create_loss(name: str, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, /, **options: Any) -> Loss:
    """Create a loss with freshly initialized modules.

    Args:
        name: one of ``list_losses()``.
        student: a sample output of the student, of any batch size; trained modules take their sizes from it.
        teacher: a sample output of the teacher; both have feature maps or features where the loss needs them.
        size: the number of images and of classes of the training set.
        options: the options of the loss, e.g. ``temperature=2``.

    Returns:
        The loss in training mode, its parameters in float32 (float64 for float64 samples) on the CPU.

    Raises:
        ModelError: an unknown name, or a sample that cannot be used.
        OptionError: an unknown option, or an option with a value of the wrong type or range.
    """
    loss_class = get_loss_class(name)
    return loss_class(student, teacher, size, **resolve_options(loss_class, options, f"loss {name}"))
