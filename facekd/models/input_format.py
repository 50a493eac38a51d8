"""How a model from elsewhere is fed: the scaling of its pixels, the order of its channels, its layout and its type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from facekd.errors import ModelError, did_you_mean
from facekd.models.preprocessing import NORMALIZATIONS, Channels
from facekd.text import shorten

PIXELS: dict[str, tuple[Channels, Channels]] = {
    "raw": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), "zero-one": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)), **NORMALIZATIONS,
}
"""Mean and standard deviation of the channels (RGB, 0 to 255) that are applied outside of a model: ``raw`` feeds 0 to
255, ``zero-one`` feeds 0 to 1, ``unit`` feeds -1 to 1, as InsightFace does."""
ChannelOrder = Literal["rgb", "bgr"]
CHANNEL_ORDERS = ("rgb", "bgr")
Layout = Literal["nchw", "nhwc"]
_RANGES = {"raw": "0 to 255", "zero-one": "0 to 1", "unit": "-1 to 1, (x - 127.5) / 127.5"}

NO_MODEL = "without --model nothing is embedded; leave it out, or give a model"
"""Why options are refused where features are given in place of a model."""
MODEL_LOADED = "the model is loaded already; give it to load()"
"""Why options are refused beside an opened model."""


class InputOptions(TypedDict, total=False):
    """What a user states about an ONNX file; None and an absent key leave it to the file.

    Attributes:
        pixels: the scaling outside of the graph, a key of `PIXELS`.
        channels: ``rgb`` or ``bgr``.
        size: side of the input in pixels, if the graph leaves it open.
        output: the name of the output with the embedding, if the graph has several.
    """

    pixels: str | None
    channels: str | None
    size: int | None
    output: str | None


@dataclass(frozen=True)
class InputFormat:
    """The input of a model.

    Attributes:
        pixels: a key of `PIXELS`.
        channels: the order of the channels.
        layout: ``nchw``: [batch, 3, size, size]; ``nhwc``: [batch, size, size, 3].
        dtype: ``float32``, ``float16`` or ``uint8``.
    """

    pixels: str = "unit"
    channels: ChannelOrder = "rgb"
    layout: Layout = "nchw"
    dtype: str = "float32"

    def preprocess(self, crops: NDArray[np.uint8]) -> NDArray[Any]:
        """Convert uint8 [batch, size, size, 3] RGB crops to the input of the model, contiguous."""
        mean, std = (np.array(values, np.float32) for values in PIXELS[self.pixels])
        if self.channels == "bgr":
            crops, mean, std = crops[..., ::-1], mean[::-1], std[::-1]
        if self.layout == "nchw":
            crops, mean, std = crops.transpose(0, 3, 1, 2), mean[:, None, None], std[:, None, None]
        if self.pixels == "raw":
            return np.ascontiguousarray(crops, self.dtype)
        return ((np.ascontiguousarray(crops, np.float32) - mean) / std).astype(self.dtype, copy=False)

    def describe(self) -> str:
        """Return the format in words, e.g. ``0 to 255, RGB``."""
        pixels = _RANGES.get(self.pixels, f"the mean and standard deviation of {self.pixels}")
        layout = ", channels last" if self.layout == "nhwc" else ""
        return f"{pixels}, {self.channels.upper()}{layout}"

    def to_dict(self) -> dict[str, str]:
        """Return a JSON-able record."""
        return asdict(self)


def check_options(options: Mapping[str, Any]) -> InputOptions:
    """Return the options that have a value.

    Raises:
        ModelError: a value is not one of the possible ones.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name, valid in (("pixels", [*PIXELS]), ("channels", [*CHANNEL_ORDERS])):
        if name in given and given[name] not in valid:
            raise ModelError(f"--{name} {shorten(given[name])} is unknown: {did_you_mean(str(given[name]), valid)}")
    size = given.get("size", 1)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ModelError(f"--size {shorten(size)} is no side of an image; give a whole number of pixels, e.g. 112")
    if not isinstance(given.get("output", ""), str):
        raise ModelError(f"--output {shorten(given['output'])} is no name of an output; give a text")
    return cast(InputOptions, given)


def refuse_options(options: Mapping[str, Any], reason: str) -> None:
    """Refuse options that have no effect.

    Args:
        options: the options by name; those with the value None are not given.
        reason: why they have none: the end of a sentence that begins with their names.

    Raises:
        ModelError: an option is given.
    """
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if given:
        raise ModelError(f"{' and '.join(given)} {'has' if len(given) == 1 else 'have'} no effect: {reason}")
