"""Where a student's targets come from: an anchor that runs live, or one whose outputs were computed before.

A method cannot tell which of the two it was given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor

from facekd.data.loader import Batch
from facekd.models.inputs import to_input
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.weights import load_model


class Teacher(ABC):
    """A frozen anchor.

    Attributes:
        dimension: length of its embeddings.
    """

    dimension: int

    @abstractmethod
    def embeddings(self, batch: Batch) -> Tensor:
        """The anchor's raw embeddings of a batch.

        Float32 [batch, dimension] on the batch's device, without gradient.
        """


class LiveTeacher(Teacher):
    """An anchor that runs on every batch, in evaluation mode.

    Attributes:
        size: side of the crops it takes.
    """

    size: int


class TorchTeacher(LiveTeacher):
    """A network of the registry."""

    def __init__(self, file: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self._model = load_model(file).requires_grad_(False)
        self._model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._dtype = dtype
        self.size, self.dimension = self._model.spec.size, self._model.spec.embedding

    def embeddings(self, batch: Batch) -> Tensor:
        """See `Teacher.embeddings`."""
        with (
            torch.no_grad(),
            torch.autocast(batch.images.device.type, self._dtype, enabled=self._dtype != torch.float32),
        ):
            embeddings: Tensor = self._model(to_input(batch.images))
            return embeddings.float()


class OnnxTeacher(LiveTeacher):
    """Any InsightFace-compatible ONNX, run by ONNX Runtime."""

    def __init__(self, file: Path) -> None:
        self._model = OnnxEmbedder(file)
        self.size, self.dimension = self._model.size, self._model.dimension

    def embeddings(self, batch: Batch) -> Tensor:
        """See `Teacher.embeddings`."""
        return torch.from_numpy(self._model.forward(batch.images.cpu().numpy())).to(batch.images.device)


def live_teacher(file: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> LiveTeacher:
    """The anchor in ``file`` as a live teacher: safetensors by torch, ONNX by ONNX Runtime.

    Raises:
        ModelError: the file is damaged.
    """
    return OnnxTeacher(file) if file.suffix == ".onnx" else TorchTeacher(file, device, dtype)
