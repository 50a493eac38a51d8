"""What an ONNX graph tells about its input: the scaling outside, the order of the channels, the layout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from facekd.models.input_format import ChannelOrder, Layout
from facekd.models.pixel_map import PixelMap, follow_input

RANGES = {"raw": (0.0, 255.0), "zero-one": (0.0, 1.0), "unit": (-1.0, 1.0)}
"""The values of the input under each scaling outside of a graph that can be recognized."""


@dataclass(frozen=True)
class InputEvidence:
    """The input that a graph tells; None where it tells nothing.

    Attributes:
        pixels: ``raw``, ``zero-one`` or ``unit``.
        channels: the order of the channels.
        layout: the layout.
        swaps_channels: whether the order was concluded from an exchange of channels alone.
    """

    pixels: str | None = None
    channels: ChannelOrder | None = None
    layout: Layout | None = None
    swaps_channels: bool = False


def read_evidence(graph: onnx.GraphProto, name: str, layout: Layout | None) -> InputEvidence:
    """Read the input that a graph tells.

    The input is followed through operators that treat every pixel alike (Cast, Transpose, Sub, Div, Mul, Add,
    BatchNormalization with constants, exchange of channels) up to the first other one. After each of them, the scaling
    outside is concluded if exactly one gives the network values that are centered or begin at 0, see `RANGES`. The
    order of the channels is concluded from the means that are subtracted (in photographs, red is brighter than green
    and green than blue), else from an exchange of channels: networks for faces take RGB, so a graph that exchanges
    channels takes BGR.

    Args:
        graph: the graph.
        name: its input.
        layout: the layout that the shape of the input tells; None if the shape is open.
    """
    layout = layout or _transposed_layout(graph, name)
    pixels: str | None = None
    channels: ChannelOrder | None = None
    swapped = False
    for state in follow_input(graph, name, 3 if layout == "nhwc" else 1):
        pixels = pixels or _conclude_pixels(state)
        if pixels in ("raw", "zero-one") and state.operator != "BatchNormalization":  # which learns no mean of images
            channels = channels or _conclude_order(state, RANGES[pixels][1])
        swapped = state.order == [2, 1, 0]
    if channels is None and swapped:
        return InputEvidence(pixels, "bgr", layout, swaps_channels=True)
    return InputEvidence(pixels, channels, layout)


def takes_raw_by_names(graph: onnx.GraphProto) -> bool:
    """Return whether InsightFace feeds a recognizer pixels that are not scaled.

    Returns:
        True if among the first eight nodes one has a *name* that begins with ``Sub`` or ``_minus`` and one with
        ``Mul`` or ``_mul``: InsightFace feeds 0 to 255. False: it feeds ``(x - 127.5) / 127.5``.
    """
    names = [node.name for node in graph.node[:8]]
    return any(n.startswith(("Sub", "_minus")) for n in names) and any(n.startswith(("Mul", "_mul")) for n in names)


def _transposed_layout(graph: onnx.GraphProto, name: str) -> Layout | None:
    """Return ``nhwc`` if the graph moves the last axis of its input to the second place at once."""
    first = next((node for node in graph.node if name in node.input and node.op_type != "Shape"), None)
    if first is None or first.op_type != "Transpose":
        return None
    order = next((list(attribute.ints) for attribute in first.attribute if attribute.name == "perm"), [])
    return "nhwc" if order == [0, 3, 1, 2] else None


def _conclude_pixels(state: PixelMap) -> str | None:
    """Return the only scaling outside that gives the network usual values; None if several or none do."""
    names = [name for name, ends in RANGES.items()
             if all(_is_usual(*sorted((scale * ends[0] + offset, scale * ends[1] + offset)))
                    for scale, offset in zip(state.scale.tolist(), state.offset.tolist(), strict=True))]
    return names[0] if len(names) == 1 else None


def _is_usual(low: float, high: float) -> bool:
    """Return whether values from ``low`` to ``high`` are usual inside of a network: centered, or from 0 on."""
    width = high - low
    if not (0.9 <= width <= 6 or 200 <= width <= 300):
        return False
    return abs(low) <= 1e-4 * width or abs(low + high) / 2 <= 0.15 * width


def _conclude_order(state: PixelMap, white: float) -> ChannelOrder | None:
    """Return the order of the channels by the values that become 0, if these can be means of photographs."""
    with np.errstate(all="ignore"):
        means = (-state.offset / state.scale / white).tolist()
    if not (min(means) > 0.25 and max(means) < 0.7 and max(means) - min(means) > 0.02):
        return None
    if means == sorted(means, reverse=True):
        return "rgb"
    return "bgr" if means == sorted(means) else None
