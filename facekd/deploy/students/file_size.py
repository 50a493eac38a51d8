"""The size of the ONNX file that export writes for a network, without exporting it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facekd.deploy.students.layer_counts import LayerCounts

if TYPE_CHECKING:  # see `facekd.deploy.students.grid`
    from facekd.deploy.targets.base import Precision

INT8_BYTES_PER_CHANNEL = 17
"""The scale and zero point of a channel's weights (4 + 1 bytes), and its bias with a scale and zero point (12)."""
OVERHEAD = {"fp32": (560, 240, 460), "fp16": (375, 125, 350), "int8": (1780, 690, 1200)}
"""Bytes of nodes and names: for a layer with weights and its activation, for what a PReLU adds, for a batch norm that
stays. Measured on files of torch 2.13 and ONNX Runtime 1.27; a test compares the sums with exported files."""


def file_bytes(counts: LayerCounts, precision: Precision) -> int:
    """Return the bytes of the ONNX file of a network in one precision; within 3 % of the exported file.

    Args:
        counts: the layers of the network.
        precision: of the file; a PReLU and a batch norm that stays are float32 in int8 files.
    """
    layer, prelu, norm = OVERHEAD[precision]
    overhead = layer * counts.layers + prelu * counts.prelus + norm * counts.norms
    other = counts.slopes + 4 * counts.norm_channels
    if precision == "int8":
        return overhead + counts.weights + INT8_BYTES_PER_CHANNEL * counts.channels + 4 * other
    return overhead + (4 if precision == "fp32" else 2) * (counts.weights + counts.channels + other)
