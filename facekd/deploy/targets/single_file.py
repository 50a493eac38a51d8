"""Base classes of the targets whose converter gives the bytes of one file, and of the embedders that run it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from facekd.deploy.source import ExportSource, IOSpec
from facekd.deploy.targets.base import ConvertedFiles, Precision, Target, converter_errors
from facekd.errors import ExportError
from facekd.io import files
from facekd.models.embedder import Embedder


class SingleFileTarget(Target):
    """A target with one file a precision, ``NAME.SUFFIX`` or ``NAME.int8.SUFFIX``.

    Attributes:
        suffix: the extension of its files, without the dot.
    """

    suffix: ClassVar[str]

    def convert(self, source: ExportSource, precision: Precision, folder: Path) -> ConvertedFiles:
        """Convert the source and write its file; see `Target.convert`."""
        self.check_installed()
        self.check_precision(precision)
        crops = source.require_calibration(self.name) if precision == "int8" else None
        with converter_errors(source, self.name, precision):
            content = self.lower(source, crops)
        path = folder / f"{source.file_stem(precision)}.{self.suffix}"
        files.write_bytes(path, content)
        return ConvertedFiles((path,), self.notes(path.name, crops))

    @abstractmethod
    def lower(self, source: ExportSource, crops: NDArray[np.uint8] | None) -> bytes:
        """Return the content of the file.

        Args:
            source: the network to convert.
            crops: uint8 [images, size, size, 3] RGB faces that set int8 ranges; None for float32.
        """

    @abstractmethod
    def notes(self, name: str, crops: NDArray[np.uint8] | None) -> tuple[str, ...]:
        """Return what users of the file must know.

        Args:
            name: the name of the file.
            crops: the calibration crops of an int8 file; None for float32.
        """


class SingleFileEmbedder(Embedder):
    """A face model in one file; its name and fingerprint are those of the file.

    Args:
        path: the file.
        io_spec: the input and output of the file.

    Raises:
        ExportError: the file does not exist.
    """

    def __init__(self, path: Path, io_spec: IOSpec) -> None:
        self.path = path
        self.name = path.stem
        self.format = io_spec.format
        self.size = io_spec.size
        self.dimension = io_spec.dimension
        if not path.is_file():
            raise ExportError(f"{path} does not exist; check the path")
        self.fingerprint = files.sha256(path)

    def check_shapes(self, input_shape: Sequence[int], output_shape: Sequence[int], batch: int) -> None:
        """Raise an ExportError if the shapes of the file are not those of its IOSpec.

        Args:
            input_shape: shape of the file's input.
            output_shape: shape of the file's output.
            batch: the first dimension that both must have.
        """
        expected_input = [batch, 3, self.size, self.size]
        if list(input_shape) != expected_input or list(output_shape) != [batch, self.dimension]:
            raise ExportError(
                f"{self.path} takes {list(input_shape)} and gives {list(output_shape)}, an input of "
                f"{self.size}x{self.size} pixels and an embedding of {self.dimension} were expected; is it another "
                "model's file?"
            )
