"""A network with one hidden layer on a coarse gray image: the positive control of RCO on sparse parity.

On the sets of `facekd.data.synthetic.parity` a narrow student hardly learns from labels or from a converged teacher in
the time in which it learns from a teacher's intermediate checkpoint (Panigrahi et al., ICLR 2025). It is not a model
for photographs.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, relu

from facekd.errors import ModelError
from facekd.models.architectures.layers import scale_channels
from facekd.models.registry import Network, register


class MLP(Network):
    """The mean over channels and over a grid of cells, one hidden layer with ReLU, and a linear layer.

    It has no feature maps: losses that need them refuse it.

    Args:
        size: side of the input in pixels, a multiple of ``cells``.
        outputs: length of the output.
        hidden: number of hidden units.
        cells: side of the grid to which the image is averaged.

    Raises:
        ModelError: ``size`` is not a multiple of ``cells``.
    """

    stages = ()

    def __init__(self, size: int, outputs: int, hidden: int, cells: int) -> None:
        super().__init__()
        if cells < 1 or size % cells:
            raise ModelError(f"mlp: {size} pixels cannot be divided into {cells} cells; choose a divisor of the size")
        self.cell_size = size // cells
        # Both layers keep torch's initialization: the time at which a network learns a parity depends on it.
        self.fc1 = nn.Linear(cells * cells, hidden)
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float [N, 3, size, size] to float [N, outputs]."""
        grid = avg_pool2d(x.mean(1, keepdim=True), self.cell_size)
        out: torch.Tensor = self.fc(relu(self.fc1(torch.flatten(grid, 1))))
        return out


@register
def mlp(size: int, outputs: int, *, hidden: int = 1000, cells: int = 8, width: float = 1.0) -> Network:
    """67,002 parameters and 66,000 MACs with 2 classes; the control's student has 32 hidden units, 2,146 parameters."""
    return MLP(size, outputs, scale_channels(hidden, width), cells)
