"""Weights adapted to int8: a few epochs in which the rounded network learns to answer as the float one does."""

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
from facekd.deploy.source import Source, freeze
from facekd.errors import ExportError
from facekd.utils.progress import progress

BATCH = 64
RATE = 1e-4
"""Adam's; it falls along half a cosine to 0."""
INPUT_STEPS = 255


def tuned(source: Source, faces: FaceSet, epochs: int, weight_steps: int, seed: int = 0) -> Source:
    """A source for int8 files: trained so that, rounded, its network answers as that of the given source does.

    Quantisation-aware fine-tuning (Jacob et al., CVPR 2018): a copy of the network, its weights and the inputs of its
    layers rounded as int8 files will round them and gradients passed straight through, is trained with Adam to
    maximise the cosine between its embeddings and the float network's, on faces half of which are mirrored. Batch norm
    keeps its statistics. Labels are not used, so it cannot learn more than the float network knows.

    Args:
        source: of the float network, with calibration crops, which set the ranges of inputs; it is not changed.
        faces: to train on.
        epochs: times through them, at least 1; an incomplete last batch is left out.
        weight_steps: see `Target`; weights tuned for 64 can be worse in 127 than untuned ones, and vice versa.
        seed: of their order and mirroring; the same seed gives the same weights on a CPU.

    Returns:
        The source with other weights, float32 as before.

    Raises:
        ExportError: no calibration crops, or the loss is no longer finite.
        DataError: an image cannot be used.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    crops = torch.from_numpy(source.ranges("tuned")).to(device)
    teacher = copy.deepcopy(source.network).to(device)
    student = copy.deepcopy(teacher).requires_grad_(True)
    loader = Loader(faces, source.spec.size, min(BATCH, len(faces)), seed, Flip(seed), device=device)
    steps = epochs * loader.steps
    optimizer = torch.optim.Adam(student.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with (
        rounded(student, student.inputs(crops), weight_steps),
        progress("tune for int8", steps * loader.batch) as advance,
    ):
        for step, batch in enumerate(loader.run(0, steps), 1):
            pixels = teacher.inputs(batch.to(device).images)
            with torch.no_grad():
                wanted = teacher(pixels)
            cosine = functional.cosine_similarity(student(pixels), wanted).mean()
            if not torch.isfinite(cosine):
                raise ExportError(
                    f"{source.name}: tuning for int8 stopped at step {step} of {steps}, its loss is no longer finite; "
                    "check that the float network's embeddings are finite, or export it without tuning"
                )
            optimizer.zero_grad(set_to_none=True)
            (1 - cosine).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            advance(loader.batch, f"cosine {cosine.item():.4f}")
    return freeze(student, source.form, source.name, source.calibration)


@contextmanager
def rounded(network: nn.Module, pixels: Tensor, weight_steps: int) -> Iterator[None]:
    """Round a network as int8 files do while this context is open: the weights and inputs of all that multiplies.

    When it closes the network is plain again, with the rounded weights in float.

    Args:
        network: in evaluation mode.
        pixels: float32 [images, 3, size, size], what its ranges are set on, all at once.
        weight_steps: see `tuned`.
    """
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))}
    for layer in layers.values():
        parametrize.register_parametrization(layer, "weight", _Weight(weight_steps))
    hooks = [layer.register_forward_pre_hook(_Input(name)) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            network(pixels)
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer in layers.values():
            parametrize.remove_parametrizations(layer, "weight")


class _Weight(nn.Module):
    """Symmetric, one scale an output channel; a batch norm folded in afterwards scales weight and step alike."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, weight: Tensor) -> Tensor:
        step = (weight.detach().flatten(1).abs().amax(1) / self.steps).clamp_min(torch.finfo(torch.float32).tiny)
        zero = torch.zeros_like(step, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, step, zero, 0, -self.steps, self.steps)


class _Input:
    """One scale and zero point for the whole tensor; the first batch it meets sets them."""

    def __init__(self, name: str) -> None:
        self.name, self.step, self.zero = name, 0.0, 0

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        (x,) = inputs
        if not self.step:
            cut = (100 - PERCENTILE) / 2
            low, high = np.percentile(x.cpu().numpy(), (cut, 100 - cut))
            if not np.isfinite(high - low):
                raise ExportError(f"what the layer {self.name} takes is not finite on the calibration crops; "
                                  "train the network anew, or calibrate on other faces")
            low, high = min(float(low), 0.0), max(float(high), 0.0)
            self.step = (high - low) / INPUT_STEPS or 1.0
            self.zero = round(-low / self.step)
        return torch.fake_quantize_per_tensor_affine(x, self.step, self.zero, 0, INPUT_STEPS)
