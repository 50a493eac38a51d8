"""The cost of a model: parameters and multiply-adds."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(model: nn.Module) -> int:
    """Count the parameters of a model, frozen ones included; running statistics of batch norms are not counted."""
    return sum(p.numel() for p in model.parameters())


def count_macs(model: nn.Module, size: int) -> int:
    """Count the multiply-adds of convolutions and linear layers for one image; papers count no other operators.

    The model runs on torch's ``meta`` device: nothing is computed, and its weights, statistics and mode do not change.

    Args:
        model: takes float [N, 3, size, size].
        size: side of the image in pixels.

    Returns:
        The count; the FLOPs of some papers are twice as many.
    """
    state = {name: tensor.to("meta") for name, tensor in [*model.named_parameters(), *model.named_buffers()]}
    batch = 2  # batch normalization in training mode rejects a batch of one
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        functional_call(model, state, torch.empty(batch, 3, size, size, device="meta"))
    return int(counter.get_total_flops()) // (2 * batch)
