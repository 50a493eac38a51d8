"""Quantization-aware fine-tuning: training of a network whose weights and layer inputs are rounded to int8."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from facekd.data.face_set import FaceSet
from facekd.data.loading.augmentation import Flip
from facekd.data.loading.loader import Loader
from facekd.deploy.onnx.quantize import PERCENTILE
from facekd.deploy.source import ExportSource, prepare_source
from facekd.errors import ExportError
from facekd.utils.progress import progress_bar

BATCH_SIZE = 64
LEARNING_RATE = 1e-4
"""Initial learning rate of Adam; it falls to 0 along half a cosine."""
INPUT_MAX = 255
"""Largest value of the uint8 inputs of layers."""


def quantization_aware_finetune(
    source: ExportSource, faces: FaceSet, epochs: int, weight_max: int, seed: int = 0
) -> ExportSource:
    """Fine-tune a copy of the network so that, rounded to int8, it gives the embeddings of the float network.

    Quantization-aware training (Jacob et al., CVPR 2018): the weights and layer inputs are rounded as in int8 files,
    gradients pass through the rounding unchanged, and Adam maximizes the cosine between the embeddings of the rounded
    and of the float network on faces, half of which are mirrored. Batch norms keep their statistics. Labels are not
    used, so the result cannot know more than the float network.

    Args:
        source: the float network, with calibration crops, which set the ranges of layer inputs; it is not changed.
        faces: the faces to train on.
        epochs: number of epochs, at least 1; an incomplete last batch is dropped.
        weight_max: largest absolute value of int8 weights, see `Target.int8_weight_max`; weights tuned for 64 can be
            worse with 127 than untuned weights, and vice versa.
        seed: seed of order and mirroring; the same seed gives the same weights on a CPU.

    Returns:
        A source with other float32 weights.

    Raises:
        ExportError: there are no calibration crops, or the loss is no longer finite.
        DataError: an image cannot be used.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    crops = torch.from_numpy(source.require_calibration("tuned")).to(device)
    teacher = copy.deepcopy(source.network).to(device)
    student = copy.deepcopy(teacher).requires_grad_(True)
    loader = Loader(faces, source.spec.size, batch_size=min(BATCH_SIZE, len(faces)), seed=seed,
                    augmentation=Flip(seed), device=device)
    steps = epochs * loader.steps_per_epoch
    optimizer = torch.optim.Adam(student.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with (
        fake_quantized(student, student.preprocess(crops), weight_max),
        progress_bar("tune for int8", steps * loader.batch_size) as advance,
    ):
        for step, batch in enumerate(loader.iter_steps(0, steps), 1):
            pixels = teacher.preprocess(batch.to(device).images)
            with torch.no_grad():
                targets = teacher(pixels)
            cosine = functional.cosine_similarity(student(pixels), targets).mean()
            if not torch.isfinite(cosine):
                raise ExportError(
                    f"{source.name}: tuning for int8 stopped at step {step} of {steps}, its loss is no longer finite; "
                    "check that the float network's embeddings are finite, or export it without tuning"
                )
            optimizer.zero_grad(set_to_none=True)
            (1 - cosine).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            advance(loader.batch_size, f"cosine {cosine.item():.4f}")
    return prepare_source(student, source.format, source.name, source.calibration)


@contextmanager
def fake_quantized(network: nn.Module, pixels: Tensor, weight_max: int) -> Iterator[None]:
    """Round the weights and inputs of convolutions and linear layers as int8 files do, inside the context.

    After it, the network is a plain one again, with the rounded weights in float32.

    Args:
        network: a network in evaluation mode.
        pixels: float32 [images, 3, size, size], one batch that sets the ranges of layer inputs.
        weight_max: largest absolute value of int8 weights, see `Target.int8_weight_max`.
    """
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))}
    for layer in layers.values():
        parametrize.register_parametrization(layer, "weight", _WeightRounding(weight_max))
    hooks = [layer.register_forward_pre_hook(_InputRounding(name)) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            network(pixels)
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer in layers.values():
            parametrize.remove_parametrizations(layer, "weight")


class _WeightRounding(nn.Module):
    """Symmetric rounding with one scale an output channel.

    A batch norm that is folded into the layer later scales weights and rounding step alike.
    """

    def __init__(self, weight_max: int) -> None:
        super().__init__()
        self.weight_max = weight_max

    def forward(self, weight: Tensor) -> Tensor:
        """Round float [outputs, ...] weights."""
        scale = weight.detach().flatten(1).abs().amax(1) / self.weight_max
        scale = scale.clamp_min(torch.finfo(torch.float32).tiny)
        zero_point = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero_point, 0, -self.weight_max, self.weight_max)


class _InputRounding:
    """Rounding with one scale and zero point for the whole tensor, set by the first batch."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.scale = 0.0
        self.zero_point = 0

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        (x,) = inputs
        if not self.scale:
            self._set_range(x)
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, 0, INPUT_MAX)

    def _set_range(self, x: Tensor) -> None:
        tail = (100 - PERCENTILE) / 2
        low, high = np.percentile(x.cpu().numpy(), (tail, 100 - tail))
        if not np.isfinite(high - low):
            raise ExportError(f"the input of the layer {self.name} is not finite on the calibration crops; "
                              "train the network anew, or calibrate on other faces")
        low = min(float(low), 0.0)  # the range contains 0, so that padding is exact
        high = max(float(high), 0.0)
        self.scale = (high - low) / INPUT_MAX or 1.0
        self.zero_point = round(-low / self.scale)
