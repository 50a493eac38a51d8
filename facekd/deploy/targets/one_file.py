"""What the embedders of runtimes with one file have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facekd.deploy.source import Interface
from facekd.errors import ExportError
from facekd.models.embedder import Embedder
from facekd.utils import files


class OneFileEmbedder(Embedder):
    """A face model in one file, named and fingerprinted by it.

    Args:
        path: the file.
        interface: how it is talked to.

    Raises:
        ExportError: no such file.
    """

    def __init__(self, path: Path, interface: Interface) -> None:
        self.path, self.name, self.form = path, path.stem, interface.form
        self.size, self.dimension = interface.size, interface.dimension
        if not path.is_file():
            raise ExportError(f"{path} does not exist; check the path")
        self.fingerprint = files.sha256(path)

    def demand_shapes(self, taken: Sequence[int], given: Sequence[int], batch: int) -> None:
        """Raise an ExportError unless the file takes and gives what its interface says, ``batch`` images at once.

        Args:
            taken: shape of its input.
            given: shape of its output.
            batch: the first of both.
        """
        if list(taken) != [batch, 3, self.size, self.size] or list(given) != [batch, self.dimension]:
            raise ExportError(
                f"{self.path} takes {list(taken)} and gives {list(given)}, an input of {self.size}x{self.size} pixels "
                f"and an embedding of {self.dimension} were expected; is it another model's file?"
            )
