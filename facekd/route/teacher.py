"""Sources of a student's targets: frozen anchors, and networks that are trained jointly with the student.

A method cannot distinguish a live anchor from one whose outputs were computed before (`facekd.route.cache`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from facekd.data.loading.loader import Batch
from facekd.models.feature_extractor import FeatureExtractor, dummy_input, forward_without_side_effects
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network
from facekd.models.weights import load_model
from facekd.types import ModelOutput


class Teacher(ABC):
    """A network that a student follows.

    Attributes:
        dimension: the length of its outputs.
    """

    dimension: int

    @abstractmethod
    def forward(self, batch: Batch) -> ModelOutput:
        """Return the teacher's output for a batch, without gradient.

        ``outputs`` are raw embeddings or logits: float32 [batch, dimension], on the device of the batch.
        """

    def example_output(self) -> ModelOutput:
        """Return an output for two arbitrary images; losses take the sizes of their modules from it."""
        return ModelOutput(torch.zeros(2, self.dimension))


class LiveTeacher(Teacher):
    """A frozen anchor that runs on every batch, in evaluation mode.

    Attributes:
        size: the side of its input images in pixels.
    """

    size: int


class TorchTeacher(LiveTeacher):
    """A network of the registry.

    Args:
        file: the file of its weights.
        device: the device of the network.
        dtype: float32, or the dtype of autocast.
        with_features: whether the outputs include feature maps and the input of the last layer.
        feature_layers: the modules whose outputs are the feature maps, see `FeatureExtractor`.

    Attributes:
        model: the frozen network.
    """

    def __init__(self, file: Path, device: torch.device, dtype: torch.dtype = torch.float32, *,
                 with_features: bool = False, feature_layers: Sequence[str] = ()) -> None:
        model = load_model(file).requires_grad_(False)
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = model
        self._dtype = dtype
        self.size = model.spec.size
        self.dimension = model.spec.outputs
        self._extractor = FeatureExtractor(model, feature_layers, with_features)

    def forward(self, batch: Batch) -> ModelOutput:
        """See `Teacher.forward`."""
        return self._forward_images(batch.images)

    def example_output(self) -> ModelOutput:
        """See `Teacher.example_output`."""
        return self._forward_images(dummy_input(self.model))

    @torch.no_grad()
    def _forward_images(self, images: torch.Tensor) -> ModelOutput:
        with torch.autocast(images.device.type, self._dtype, enabled=self._dtype != torch.float32):
            output = self._extractor(self.model.preprocess(images))
        return replace(output, outputs=output.outputs.float())


class OnnxTeacher(LiveTeacher):
    """An InsightFace-compatible ONNX, run by ONNX Runtime; it provides neither feature maps nor features.

    Args:
        file: the ONNX file.
        device: its device, see `facekd.io.onnx_session.choose_providers`.
    """

    def __init__(self, file: Path, device: str = "cpu") -> None:
        self._model = OnnxEmbedder(file, device=device)
        self.size = self._model.size
        self.dimension = self._model.dimension

    def forward(self, batch: Batch) -> ModelOutput:
        """See `Teacher.forward`."""
        outputs = self._model.forward(batch.images.cpu().numpy())
        return ModelOutput(torch.from_numpy(outputs).to(batch.images.device))


class MeanTeacher(Teacher):
    """The mean of the outputs of several anchors: a snapshot ensemble (Huang et al., ICLR 2017).

    Args:
        teachers: the anchors.
    """

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        self._teachers = teachers
        self.dimension = teachers[0].dimension

    def forward(self, batch: Batch) -> ModelOutput:
        """See `Teacher.forward`; without feature maps, because their mean has no meaning."""
        return ModelOutput(torch.stack([teacher.forward(batch).outputs for teacher in self._teachers]).mean(0))


class RotatedTeacher(Teacher):
    """An anchor whose embeddings are rotated into the basis of the end of the route, see `facekd.route.rotation`.

    Args:
        teacher: the anchor.
        rotation: the orthogonal matrix, [D, D]; rows of embeddings are multiplied by it from the right.
    """

    def __init__(self, teacher: Teacher, rotation: torch.Tensor) -> None:
        self._teacher = teacher
        self._rotation = rotation
        self.dimension = teacher.dimension

    def forward(self, batch: Batch) -> ModelOutput:
        """See `Teacher.forward`; feature maps and features stay as they are."""
        output = self._teacher.forward(batch)
        return replace(output, outputs=output.outputs @ self._rotation.to(output.outputs))

    def example_output(self) -> ModelOutput:
        """See `Teacher.example_output`."""
        return self._teacher.example_output()


class TrainingTeacher(Teacher):
    """A network in training as a teacher: its current outputs, see `forward_without_side_effects`.

    Args:
        network: the network.
        with_features: whether the outputs include feature maps and features.
        feature_layers: the modules whose outputs are the feature maps, see `FeatureExtractor`.
    """

    def __init__(self, network: Network, with_features: bool, feature_layers: Sequence[str]) -> None:
        self.network = network
        self.dimension = network.spec.outputs
        self.extractor = FeatureExtractor(network, feature_layers, with_features)

    def forward(self, batch: Batch) -> ModelOutput:
        """See `Teacher.forward`."""
        return forward_without_side_effects(self.network, self.extractor, batch.images)

    def example_output(self) -> ModelOutput:
        """See `Teacher.example_output`."""
        return forward_without_side_effects(self.network, self.extractor, dummy_input(self.network))


def load_live_teacher(file: Path, device: torch.device, dtype: torch.dtype = torch.float32, *,
                      with_features: bool = False, feature_layers: Sequence[str] = (), onnx_device: str = "cpu"
                      ) -> LiveTeacher:
    """Load an anchor as a live teacher: safetensors run in torch, ONNX files in ONNX Runtime.

    Args:
        file: the file of the anchor.
        device: the device of a network.
        dtype: float32, or the dtype of autocast.
        with_features: whether the outputs include feature maps and features, see `TorchTeacher`.
        feature_layers: the modules whose outputs are the feature maps.
        onnx_device: the device of an ONNX as the user names it (``machine.device``); ``auto`` is the best one of the
            installed ONNX Runtime, which may have another choice than torch.

    Raises:
        ModelError: the file is damaged.
        SetupError: the installed ONNX Runtime cannot use the device.
    """
    if file.suffix == ".onnx":
        return OnnxTeacher(file, onnx_device)
    return TorchTeacher(file, device, dtype, with_features=with_features, feature_layers=feature_layers)
