"""The optimisers of a training, fused where torch has them so."""

from __future__ import annotations

import torch
from torch import nn

from facekd.config import ScheduleRecipe
from facekd.training.method import Method

FUSED = {"sgd": ("cuda",), "adamw": ("cpu", "cuda")}
"""Devices on which one kernel updates all weights; on a CPU SGD's would round other bits than trainings had so far."""


def create_optimizer(method: Method, schedule: ScheduleRecipe, device: torch.device) -> torch.optim.Optimizer:
    """SGD, or AdamW (Loshchilov and Hutter, ICLR 2019) with ``momentum`` as its beta 1 and 0.999 as its beta 2.

    Weight decay spares biases, norms and PReLU slopes, which have nothing to gain from shrinking, but for
    ``schedule.decay_all``. The learning rate is for the loop to set, by each group's ``pace``.

    Args:
        method: whose weights that want gradients are trained.
        schedule: which optimiser, with its momentum and decay.
        device: where the weights are.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, weight in method.named_parameters():
        if weight.requires_grad:
            pace = method.pace.get(name.partition(".")[0], 1.0)
            groups.setdefault((pace, weight.ndim > 1), []).append(weight)
    decay = {True: schedule.weight_decay, False: schedule.weight_decay if schedule.decay_all else 0.0}
    settings = [{"params": weights, "pace": pace, "weight_decay": decay[shrinks]}
                for (pace, shrinks), weights in groups.items()]
    fused = device.type in FUSED[schedule.optimizer]
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(settings, lr=0.0, betas=(schedule.momentum, 0.999), fused=fused)
    optimizer = torch.optim.SGD(settings, lr=0.0, momentum=schedule.momentum, fused=fused)
    if fused and schedule.momentum:  # fused SGD cannot begin one weight's momentum after another's: all begin at 0
        for weight in (weight for weights in groups.values() for weight in weights):
            optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
    return optimizer
