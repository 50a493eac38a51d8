"""How images were made for the published weights of torchvision and timm, by the configuration of the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facekd.errors import ModelError
from facekd.models.preprocessing import NORMALIZATIONS, Channels
from facekd.models.registry import ModelSpec
from facekd.utils.console import notify

TOLERANCE = 0.1
"""Largest difference between equal means and deviations, on the scale from 0 to 255; libraries round them."""
RESIZE_RATIO = 256 / 224
"""The shorter side to which facekd resizes an image of a class set, as a multiple of the size of its center crop."""


@dataclass(frozen=True)
class PretrainedInput:
    """The images of published weights.

    Attributes:
        size: side of the center crop in pixels.
        resized: the shorter side in pixels to which an image is resized before the crop.
        interpolation: the interpolation of that, e.g. ``bilinear``.
        mean: the mean of the channels (RGB, 0 to 255).
        std: their standard deviation.
    """

    size: int
    resized: int
    interpolation: str
    mean: Channels
    std: Channels

    def check(self, spec: ModelSpec) -> None:
        """Compare with how facekd makes images for a network; a note tells what differs from the published accuracy.

        Raises:
            ModelError: the pixels are scaled in another way.
        """
        name = self.normalization()
        if name is None:
            raise ModelError(f"the published weights of {spec.name} take pixels of mean {_format(self.mean)} and "
                             f"deviation {_format(self.std)}, for which there is no normalization; take other weights, "
                             "or pretrained=false")
        if spec.normalization != name:
            raise ModelError(f"the published weights of {spec.name} take pixels scaled as '{name}', not "
                             f"'{spec.normalization}'; set normalization={name}, or pretrained=false")
        differences = []
        if spec.size != self.size:
            differences.append(f"{self.size} pixels, here {spec.size}")
        differences.append(f"images of {self.resized} pixels by {self.interpolation} interpolation before the crop, "
                           "here "
                           f"{round(spec.size * RESIZE_RATIO)} by area averaging")
        notify(f"the published weights of {spec.name} were made for {' and for '.join(differences)}; without further "
               "training they do not reach the published accuracy")

    def normalization(self) -> str | None:
        """Return the key of ``NORMALIZATIONS`` with this mean and deviation; None if there is none."""
        for name, (mean, std) in NORMALIZATIONS.items():
            pairs = zip((*mean, *std), (*self.mean, *self.std), strict=True)
            if all(abs(first - second) <= TOLERANCE for first, second in pairs):
                return name
        return None


def from_torchvision(preset: Any) -> PretrainedInput:
    """Return the input of weights of torchvision.

    Args:
        preset: the result of ``weights.transforms()``, an ``ImageClassification``.
    """
    interpolation = getattr(preset.interpolation, "value", preset.interpolation)
    return PretrainedInput(int(preset.crop_size[0]), int(preset.resize_size[0]), str(interpolation),
                           _channels(preset.mean), _channels(preset.std))


def from_timm(config: Any) -> PretrainedInput:
    """Return the input of weights of timm.

    Args:
        config: a ``PretrainedCfg``; timm measures weights at ``test_input_size`` where they have one.
    """
    size = int((config.test_input_size or config.input_size)[-1])
    share = config.test_crop_pct or config.crop_pct
    return PretrainedInput(size, int(size / share), str(config.interpolation), _channels(config.mean),
                           _channels(config.std))


def _channels(values: Any) -> Channels:
    """Return three values of the scale from 0 to 1 on that from 0 to 255."""
    red, green, blue = (255 * float(value) for value in values)
    return red, green, blue


def _format(channels: Channels) -> str:
    return ", ".join(f"{value:.1f}" for value in channels)
