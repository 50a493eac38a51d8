"""The optimizers, with fused kernels where torch has them."""

from __future__ import annotations

import torch
from torch import nn

from facekd.config import TrainingRecipe
from facekd.training.method import Method

FUSED_DEVICES = {"sgd": ("cuda",), "adamw": ("cpu", "cuda")}
"""Device types on which one kernel updates all weights. On a CPU fused SGD rounds differently from plain SGD, which
all recorded CPU runs were trained with."""


def build_optimizer(method: Method, recipe: TrainingRecipe, device: torch.device) -> torch.optim.Optimizer:
    """Build SGD, or AdamW (Loshchilov and Hutter, ICLR 2019) with ``momentum`` as beta 1 and 0.999 as beta 2.

    Biases, norms and PReLU slopes have no weight decay unless ``training.decay_all`` is set. The learning rate is set
    by the training loop, multiplied by the ``lr_scale`` of each parameter group.

    Args:
        method: the method whose parameters that require gradients are trained.
        recipe: the name of the optimizer, its momentum and its weight decay.
        device: the device of the parameters.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, weight in method.named_parameters():
        if weight.requires_grad:
            lr_scale = method.lr_scales.get(name.partition(".")[0], 1.0)
            is_matrix = weight.ndim > 1
            groups.setdefault((lr_scale, is_matrix), []).append(weight)
    decay = {True: recipe.weight_decay, False: recipe.weight_decay if recipe.decay_all else 0.0}
    settings = [{"params": weights, "lr_scale": lr_scale, "weight_decay": decay[is_matrix]}
                for (lr_scale, is_matrix), weights in groups.items()]
    fused = device.type in FUSED_DEVICES[recipe.optimizer]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(settings, lr=0.0, betas=(recipe.momentum, 0.999), fused=fused)
    optimizer = torch.optim.SGD(settings, lr=0.0, momentum=recipe.momentum, fused=fused)
    # Fused SGD needs the momentum of all weights to begin at the same step, also of a weight that gets its first
    # gradient later: all begin at zero, which is equivalent.
    if fused and recipe.momentum:
        for weight in (weight for weights in groups.values() for weight in weights):
            optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
    return optimizer
