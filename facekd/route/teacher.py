"""Where a student's targets come from: an anchor that runs live, or one whose outputs were computed before.

A method cannot tell which of the two it was given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from facekd.data.loading.loader import Batch
from facekd.models.feature_extractor import Tapped
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.weights import load_model
from facekd.types import Answer


class Teacher(ABC):
    """A frozen anchor.

    Attributes:
        dimension: length of its outputs.
    """

    dimension: int

    @abstractmethod
    def answer(self, batch: Batch) -> Answer:
        """The anchor's answer to a batch, without gradient.

        Its outputs are raw embeddings or logits, float32 [batch, dimension], on the batch's device.
        """

    def sample(self) -> Answer:
        """An answer to nothing in particular, to take sizes from."""
        return Answer(torch.zeros(2, self.dimension))


class LiveTeacher(Teacher):
    """An anchor that runs on every batch, in evaluation mode.

    Attributes:
        size: side of the images it takes.
    """

    size: int


class TorchTeacher(LiveTeacher):
    """A network of the registry.

    Args:
        file: its weights.
        device: where it runs.
        dtype: float32, or what autocast shall compute in.
        inside: whether its answers hold intermediate maps and features.
        taps: where the maps are taken, see `Tapped`.
    """

    def __init__(self, file: Path, device: torch.device, dtype: torch.dtype = torch.float32, inside: bool = False,
                 taps: Sequence[str] = ()) -> None:
        model = load_model(file).requires_grad_(False)
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._model, self._dtype, self._device = model, dtype, device
        self.size, self.dimension = model.spec.size, model.spec.outputs
        # Without self in the lambda, so that no circle keeps it alive.
        self._ask = Tapped(model, taps) if inside else lambda x: Answer(model(x))

    def answer(self, batch: Batch) -> Answer:
        """See `Teacher.answer`."""
        return self._answer(batch.images)

    def sample(self) -> Answer:
        """See `Teacher.sample`."""
        return self._answer(torch.zeros(2, self.size, self.size, 3, dtype=torch.uint8, device=self._device))

    @torch.no_grad()
    def _answer(self, images: torch.Tensor) -> Answer:
        with torch.autocast(images.device.type, self._dtype, enabled=self._dtype != torch.float32):
            answer = self._ask(self._model.inputs(images))
        return replace(answer, outputs=answer.outputs.float())


class OnnxTeacher(LiveTeacher):
    """Any InsightFace-compatible ONNX, run by ONNX Runtime; one cannot look inside."""

    def __init__(self, file: Path) -> None:
        self._model = OnnxEmbedder(file)
        self.size, self.dimension = self._model.size, self._model.dimension

    def answer(self, batch: Batch) -> Answer:
        """See `Teacher.answer`."""
        return Answer(torch.from_numpy(self._model.forward(batch.images.cpu().numpy())).to(batch.images.device))


class MeanTeacher(Teacher):
    """The mean of several anchors' outputs: a snapshot ensemble (Huang et al., ICLR 2017)."""

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        self._teachers, self.dimension = teachers, teachers[0].dimension

    def answer(self, batch: Batch) -> Answer:
        """See `Teacher.answer`; without maps, whose mean would mean nothing."""
        return Answer(torch.stack([teacher.answer(batch).outputs for teacher in self._teachers]).mean(0))


def live_teacher(file: Path, device: torch.device, dtype: torch.dtype = torch.float32, inside: bool = False,
                 taps: Sequence[str] = ()) -> LiveTeacher:
    """The anchor in ``file`` as a live teacher: safetensors by torch, ONNX by ONNX Runtime.

    Raises:
        ModelError: the file is damaged.
    """
    return OnnxTeacher(file) if file.suffix == ".onnx" else TorchTeacher(file, device, dtype, inside, taps)
