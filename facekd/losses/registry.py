"""The registry of losses: a distance between a student's and a teacher's answers is made by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

from facekd.config.options import resolve
from facekd.errors import ModelError, nearest
from facekd.types import Answer, Question, Size

L = TypeVar("L", bound="Loss")


class Loss(nn.Module, ABC):
    """A distance between a student's and a teacher's answers to one batch.

    Parts of its own that are trained with the student (regressors) are its submodules. Parts that learn from the
    teacher alone, before the student does, stand in ``prepared`` and learn in lessons; they are frozen, and in
    evaluation mode, at any other time. Options are the keyword-only arguments of ``__init__``, each with a default.

    Args:
        student: a sample answer, from which the sizes of trained parts are taken.
        teacher: likewise.
        size: of the training set.

    Attributes:
        name: what recipes call it.
        paper: authors, title or venue, year.
        equation: in plain text, as it is computed.
        weight: what the loss is usually multiplied with.
        faces_weight: the same for face networks, where it is another there.
        origin: where that weight comes from.
        labels: the usual weight of the cross entropy on labels beside it.
        alone: whether a face network follows it without a term on labels.
        first: share of the training it usually has to itself, before labels count; 0 where it counts all the time.
        maps: whether it looks at intermediate maps; the teacher must then run live.
        features: whether it looks at `Answer.features`; the teacher of a closed set must then run live.
        logits: whether its formula is one of class probabilities, so that embeddings make no sense in it.
        faces: whether its formula is one of embeddings and people, so that logits make no sense in it.
        remembers: whether its buffers keep what earlier batches showed; processes do not share these.
        lessons: epochs of lessons before each new teacher is followed; need not be whole.
        prepared: the parts that learn in lessons.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    equation: ClassVar[str]
    weight: ClassVar[float] = 1.0
    faces_weight: ClassVar[float | None] = None
    origin: ClassVar[str]
    labels: ClassVar[float] = 1.0
    alone: ClassVar[bool] = False
    first: ClassVar[float] = 0.0
    maps: ClassVar[bool] = False
    features: ClassVar[bool] = False
    logits: ClassVar[bool] = False
    faces: ClassVar[bool] = False
    remembers: ClassVar[bool] = False
    lessons: float = 0.0

    def __init__(self, student: Answer, teacher: Answer, size: Size) -> None:
        super().__init__()
        self.prepared = nn.ModuleDict().eval()

    @classmethod
    def usual_weight(cls, closed: bool) -> float:
        """What the loss is usually multiplied with, for classes or for faces."""
        return cls.weight if closed or cls.faces_weight is None else cls.faces_weight

    def train(self: L, mode: bool = True) -> L:
        """As of any module, but what is prepared stays in evaluation mode; lessons alone train it."""
        super().train(mode)
        self.prepared.eval()
        return self

    def lesson(self, teacher: Answer, question: Question) -> Tensor | None:
        """One batch of a lesson: the loss of what is prepared, or None where looking was enough (a mean in a buffer).

        Args:
            teacher: what the teacher says of N images; receives no gradient.
            question: what is known of them; ``done`` is the share of the lessons that are done, 0 in the first batch.
        """
        raise NotImplementedError(f"loss {self.name} takes lessons and has none")

    @abstractmethod
    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """The loss of one batch.

        Args:
            student: what the student says of N images, in any float dtype.
            teacher: what the teacher says of the same images; receives no gradient.
            question: what is known of these images.

        Returns:
            A scalar in float32, or in float64 for float64 answers, whatever autocast does around it.

        Raises:
            ModelError: the answers cannot be compared.
        """


_KINDS: dict[str, type[Loss]] = {}


def register(kind: type[L]) -> type[L]:
    """Decorator: add a loss under its ``name``."""
    _KINDS[kind.name] = kind
    return kind


def names() -> list[str]:
    """The names of all losses, sorted."""
    return sorted(_KINDS)


def family_of(name: str) -> str:
    """The family of a loss: the folder its file lies in, e.g. ``maps``; of a loss from elsewhere, what it looks at.

    Raises:
        ModelError: an unknown name.
    """
    kind = kind_of(name)
    folder = kind.__module__.rpartition(".")[0]
    if folder.startswith("facekd.losses."):
        return folder.rpartition(".")[2]
    return "faces" if kind.faces else "maps" if kind.maps else "relations" if kind.features else "responses"


def kind_of(name: str) -> type[Loss]:
    """The class of a loss, which tells before any answer is there whether it needs maps.

    Raises:
        ModelError: an unknown name.
    """
    if name not in _KINDS:
        raise ModelError(f"unknown loss '{name}': {nearest(name, names())}")
    return _KINDS[name]


def create_loss(name: str, student: Answer, teacher: Answer, size: Size, /, **options: Any) -> Loss:
    """Make a loss with fresh trained parts.

    Args:
        name: one of ``names()``.
        student: a sample answer of any batch size; trained parts take their sizes from it.
        teacher: likewise; both with maps or features where the loss looks at them.
        size: of the training set.
        options: the loss's own, e.g. ``temperature=2``.

    Returns:
        The loss in training mode, its parameters in float32 (float64 for float64 samples) on the CPU.

    Raises:
        ModelError: an unknown name or option, or a value or sample that cannot be used.
    """
    kind = kind_of(name)
    return kind(student, teacher, size, **resolve(kind, options, f"loss {name}"))
