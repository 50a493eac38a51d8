"""What a model costs: parameters and multiply-adds."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode


def parameters(model: nn.Module) -> int:
    """How many weights a model holds, fixed ones included; batch normalisation's running statistics are not counted."""
    return sum(p.numel() for p in model.parameters())


def macs(model: nn.Module, size: int) -> int:
    """Multiply-adds of the convolutions and linear layers for one image; everything else is left out, as papers do.

    The model runs on torch's ``meta`` device: nothing is computed, and its weights, statistics and mode stay.

    Args:
        model: takes float [N, 3, size, size].
        size: side of the image in pixels.

    Returns:
        The count; the FLOPs some papers give are twice as many.
    """
    state = {name: tensor.to("meta") for name, tensor in [*model.named_parameters(), *model.named_buffers()]}
    batch = 2  # of two, because batch normalisation in training mode refuses one
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        functional_call(model, state, torch.empty(batch, 3, size, size, device="meta"))
    return int(counter.get_total_flops()) // (2 * batch)
