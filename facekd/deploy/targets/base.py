"""The contract of an export target: it converts a source to files of one precision, and opens them as an embedder."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from facekd.deploy.source import ExportSource, IOSpec
from facekd.deploy.suppress_output import suppress_output
from facekd.errors import ExportError, FacekdError, did_you_mean
from facekd.models.embedder import Embedder

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class ConvertedFiles:
    """The result of a conversion.

    Attributes:
        files: all files the runtime needs, in the order in which `Target.open` takes them.
        notes: facts that users of the files must know, one sentence each.
    """

    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


class Target(ABC):
    """A runtime that networks are exported to.

    Attributes:
        name: the name for ``--to``.
        precisions: the precisions it offers.
        int8_weight_max: largest absolute value of its int8 weights: 127, or 64 for 7 bits.
        required_packages: the modules it imports, each with the name of its package on PyPI.
        extra: the extra of facekd that installs them; empty if facekd itself requires them.
        device_command: the command that times its files on a phone, with {files}, {size} and {threads}; empty if
            there is no such tool.
        times_graph_only: whether that tool ignores the weights, so that one timing holds for all precisions.
        runtime: the module that runs its files on this machine.
    """

    name: ClassVar[str]
    precisions: ClassVar[tuple[Precision, ...]]
    int8_weight_max: ClassVar[int] = 127
    required_packages: ClassVar[dict[str, str]]
    extra: ClassVar[str] = ""
    device_command: ClassVar[str] = ""
    times_graph_only: ClassVar[bool] = False
    runtime: ClassVar[str]

    @abstractmethod
    def convert(self, source: ExportSource, precision: Precision, folder: Path) -> ConvertedFiles:
        """Write the files of one precision into a folder; their names begin with `ExportSource.file_stem`.

        Raises:
            ExportError: the runtime lacks an operator, int8 has no calibration crops, or the converter fails; the
                message names network, target and precision.
        """

    @abstractmethod
    def open(self, files: Sequence[Path], io_spec: IOSpec, threads: int = 1) -> Embedder:
        """Open files that `convert` wrote as an embedder on this machine; it takes any number of crops at once.

        Args:
            files: the files in the order of `ConvertedFiles.files`.
            io_spec: the input and output of the files.
            threads: number of threads to run on.

        Raises:
            RuntimeUnavailableError: the runtime does not exist on this machine, though its files can be converted here.
            ExportError: the files cannot be opened or do not run.
        """

    def check_precision(self, precision: Precision) -> None:
        """Raise an ExportError if the target does not offer a precision."""
        if precision not in self.precisions:
            raise ExportError(f"{self.name} files are {' or '.join(self.precisions)}, not {precision}")

    def check_installed(self) -> None:
        """Raise an ExportError with the command that installs the required packages if any is missing."""
        missing = [package for module, package in self.required_packages.items()
                   if importlib.util.find_spec(module) is None]
        if missing:
            raise ExportError(f"{self.name} files need {', '.join(missing)}: pip install 'facekd[{self.extra}]'")

    def versions(self) -> dict[str, str]:
        """Return the versions of the required packages by their names on PyPI."""
        return {package: metadata.version(package) for package in self.required_packages.values()}


@contextmanager
def converter_errors(source: ExportSource, target: str, precision: Precision) -> Iterator[None]:
    """Suppress the output of a converter and turn any exception into an ExportError of one sentence."""
    try:
        with suppress_output():
            yield
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ExportError(
            f"{source.spec.name} could not be converted to {target} {precision} "
            f"({type(error).__name__}: {reason}); leave this target out, or change the layer it names"
        ) from error


class RuntimeUnavailableError(FacekdError):
    """The runtime of a file does not exist on this machine; the package marks the file as not run."""


T = TypeVar("T", bound=Target)
_TARGETS: dict[str, type[Target]] = {}


def register(target: type[T]) -> type[T]:
    """Class decorator: register a target under its ``name``."""
    _TARGETS[target.name] = target
    return target


@contextmanager
def registered(target: type[Target]) -> Iterator[None]:
    """Register a target inside the context, in place of any target of the same name; restore the registry after it."""
    previous = _TARGETS.get(target.name)
    _TARGETS[target.name] = target
    try:
        yield
    finally:
        if previous is None:
            del _TARGETS[target.name]
        else:
            _TARGETS[target.name] = previous


def list_targets() -> list[str]:
    """Return the names of all targets, sorted."""
    return sorted(_TARGETS)


def get_target(name: str) -> Target:
    """Return an instance of a target by name.

    Raises:
        ExportError: no target has this name.
    """
    if name not in _TARGETS:
        raise ExportError(f"unknown target '{name}': {did_you_mean(name, list_targets())}")
    return _TARGETS[name]()
