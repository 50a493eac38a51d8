"""The contract of a runtime: from a source to files of one precision, and from these to an embedder that runs them."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from facekd.deploy.quiet import quiet
from facekd.deploy.source import Interface, Source
from facekd.errors import ExportError, nearest
from facekd.models.embedder import Embedder

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class Made:
    """What a conversion wrote.

    Attributes:
        files: all that the runtime needs, the one to be opened first.
        notes: what a user of the files has to know, one sentence each.
    """

    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


class Target(ABC):
    """A runtime.

    Attributes:
        name: what ``--to`` calls it.
        weight_steps: its int8 weights lie in as many steps on either side of 0.
        precisions: what it can be given in.
        modules: the importable modules it needs, each with the name pip knows it by.
        extra: the extra of facekd that installs them; empty where facekd itself needs them.
        device: how its files are timed on a phone, a command with {files}, {size} and {threads}; empty where there is
            no tool for that.
        weightless: whether that tool reads the graph alone, so that one figure serves files of all precisions.
        runtime: the module that runs its files here.
    """

    name: ClassVar[str]
    precisions: ClassVar[tuple[Precision, ...]]
    weight_steps: ClassVar[int] = 127
    modules: ClassVar[dict[str, str]]
    extra: ClassVar[str] = ""
    device: ClassVar[str] = ""
    weightless: ClassVar[bool] = False
    runtime: ClassVar[str]

    @abstractmethod
    def convert(self, source: Source, precision: Precision, folder: Path) -> Made:
        """Write the files of one precision into a folder; they are called ``source.name`` and what follows it.

        Raises:
            ExportError: an operator the runtime does not have, int8 without calibration crops, or a failure of the
                converter; the message names network, target and precision.
        """

    @abstractmethod
    def open(self, files: Sequence[Path], interface: Interface, threads: int = 1) -> Embedder:
        """Files that `convert` wrote, as an embedder on this machine; it is given any number of crops at once.

        Args:
            files: as `Made.files` has them.
            interface: how they are talked to.
            threads: to run on.

        Raises:
            NotRunnable: the runtime does not run on this machine, though its files can be made here.
            ExportError: the files cannot be opened or do not run.
        """

    def demand_precision(self, precision: Precision) -> None:
        """Raise an ExportError unless it offers a precision."""
        if precision not in self.precisions:
            raise ExportError(f"{self.name} files are {' or '.join(self.precisions)}, not {precision}")

    def demand(self) -> None:
        """Raise an ExportError, with the line that installs it, unless what it needs is installed."""
        absent = [pip for module, pip in self.modules.items() if importlib.util.find_spec(module) is None]
        if absent:
            raise ExportError(f"{self.name} files need {', '.join(absent)}: pip install 'facekd[{self.extra}]'")

    def versions(self) -> dict[str, str]:
        """Of what it needs, by the names pip has for them."""
        return {pip: metadata.version(pip) for pip in self.modules.values()}


@contextmanager
def converting(source: Source, target: str, precision: Precision) -> Iterator[None]:
    """Silence for a converter that raises whatever it likes: anything becomes an ExportError of one sentence."""
    try:
        with quiet():
            yield
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ExportError(
            f"{source.spec.name} could not be converted to {target} {precision} "
            f"({type(error).__name__}: {reason}); leave this target out, or change the layer it names"
        ) from error


class NotRunnable(Exception):
    """A file's runtime is not on this machine; the file is marked as not run."""


T = TypeVar("T", bound=Target)
_TARGETS: dict[str, type[Target]] = {}


def register(kind: type[T]) -> type[T]:
    """Decorator: add a target under its ``name``."""
    _TARGETS[kind.name] = kind
    return kind


def names() -> list[str]:
    """The names of all targets, sorted."""
    return sorted(_TARGETS)


def target_of(name: str) -> Target:
    """A target by name.

    Raises:
        ExportError: an unknown name.
    """
    if name not in _TARGETS:
        raise ExportError(f"unknown target '{name}': {nearest(name, names())}")
    return _TARGETS[name]()


