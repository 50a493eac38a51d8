"""The grid of students: architectures, widths, input sizes and precisions, each with its cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facekd.deploy.students.file_size import file_bytes
from facekd.deploy.students.layer_counts import count_layers, extrapolate_counts
from facekd.errors import OptionError, did_you_mean
from facekd.models.registry import STRIDE
from facekd.text import short_repr

if TYPE_CHECKING:  # the package of targets imports ONNX Runtime, which costs a second
    from facekd.deploy.targets.base import Precision

SIZES = (112, 96, 80, 64)
COUNTED_SIZES = (2 * STRIDE, 3 * STRIDE)
"""The two input sizes at which networks are counted; the counts at all others follow, see `extrapolate_counts`."""
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Variant:
    """An architecture with fixed options, whose width varies.

    Attributes:
        name: the architecture in the registry.
        options: its options besides the width.
        widths: the widths of the grid.
    """

    name: str
    options: Mapping[str, Any]
    widths: Sequence[float]


MOBILE_WIDTHS = (0.25, 0.35, 0.5, 0.75, 1.0)
VARIANTS = (
    Variant("mobilefacenet", {}, MOBILE_WIDTHS),
    Variant("mobilefacenet", {"activation": "relu"}, MOBILE_WIDTHS),
    Variant("mobilenetv2", {"norm": True}, MOBILE_WIDTHS),
    Variant("mobilenetv2", {"norm": True, "head": "gdc", "last_conv": False}, MOBILE_WIDTHS),
    Variant("iresnet10", {}, (0.125, 0.25, 0.5)),
    Variant("iresnet18", {}, (0.125, 0.25)),
)
"""The architectures of the grid. MobileNetV2 has the batch norm at its end that a margin head needs, and either its own
head or that of MobileFaceNet."""


@dataclass(frozen=True)
class Student:
    """A network that can be a student, and what it costs.

    Attributes:
        name: its architecture in the registry.
        options: the options that differ from the defaults, and the width.
        size: side of the input in pixels.
        embedding: length of the embedding.
        precision: of the exported file: ``fp32``, ``fp16`` or ``int8``.
        parameters: number of parameters of the network.
        macs: multiply-adds for one image.
        bytes: size of its ONNX file in this precision, within 3 % (see `file_bytes`).
        milliseconds: median latency of one image on one thread of this machine; None if it was not measured.
    """

    name: str
    options: Mapping[str, Any] = field(hash=False)
    size: int
    embedding: int
    precision: Precision
    parameters: int
    macs: int
    bytes: int
    milliseconds: float | None = None

    @property
    def title(self) -> str:
        """The architecture and its options, e.g. ``mobilenetv2 x0.5 norm=true``."""
        others = "".join(f" {key}={_yaml(value)}" for key, value in self.options.items() if key != "width")
        return f"{self.name} x{self.options['width']:g}{others}"

    @property
    def overrides(self) -> list[str]:
        """The keys of a recipe that choose the network, e.g. ``student.name=mobilefacenet``."""
        options = [f"student.options.{key}={_yaml(value)}" for key, value in self.options.items()]
        return [f"student.name={self.name}", f"student.size={self.size}", f"student.embedding={self.embedding}",
                *options]


def list_students(embedding: int, *, architectures: Sequence[str] = (), widths: Sequence[float] = (),
                  sizes: Sequence[int] = (), precisions: Sequence[str] = ()) -> Iterator[Student]:
    """Yield all students of the grid, without an order.

    Args:
        embedding: length of the embedding.
        architectures: names of architectures; none: all of the grid.
        widths: multipliers of the channels; none: those of the grid.
        sizes: sides of the input in pixels; none: `SIZES`.
        precisions: precisions of the file; none: all.

    Raises:
        OptionError: an architecture or precision is not in the grid, or a size cannot be used.
        ModelError: a width or the embedding cannot be used.
    """
    for size in sizes:
        if size < COUNTED_SIZES[0] or size % STRIDE:
            raise OptionError(f"the input size of a student is a multiple of {STRIDE} pixels from {COUNTED_SIZES[0]} "
                              f"on, not {size}")
    _check_known("architecture", architectures, sorted({variant.name for variant in VARIANTS}))
    _check_known("precision", precisions, PRECISIONS)
    for variant in VARIANTS:
        if architectures and variant.name not in architectures:
            continue
        for width in widths or variant.widths:
            options = {"width": float(width), **variant.options}
            counted = [count_layers(variant.name, size, embedding, **options) for size in COUNTED_SIZES]
            for size in sizes or SIZES:
                counts = extrapolate_counts(counted[0], counted[1], COUNTED_SIZES, size)
                for precision in PRECISIONS:
                    if not precisions or precision in precisions:
                        yield Student(variant.name, options, size, embedding, precision, counts.parameters, counts.macs,
                                      file_bytes(counts, precision))


def _check_known(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise OptionError(f"the grid of students has no {what} {short_repr(name)}: {did_you_mean(name, known)}")


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
