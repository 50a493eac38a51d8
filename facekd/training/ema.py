"""Exponential moving average (EMA) of the student's weights (``training.ema_decay``).

The average is part of the checkpoint and is written as ``model.ema.safetensors`` next to ``model.safetensors``. A
command that takes a run folder (``eval``, ``plan``, ``export``, ``search``) uses ``model.safetensors``, and a route
records the plain weights as well; the average is used only if its file is given, e.g.
``facekd eval verify --model RUN/model.ema.safetensors``.
"""

from __future__ import annotations

from typing import cast

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from facekd.distributed import is_main_process
from facekd.models.registry import Network
from facekd.models.weights import save_model
from facekd.run import Run


def build_ema(network: nn.Module, decay: float) -> AveragedModel | None:
    """Build the average of a network's weights and buffers; None where ``decay`` is 0.

    After step T it is d^(T-1) w_1 + (1 - d) sum over t = 2..T of d^(T-t) w_t, where d is the decay and w_t are the
    weights after step t.
    """
    if not decay:
        return None
    average_function = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=average_function, use_buffers=True)


def save_student(run: Run, student: Network, ema: AveragedModel | None) -> None:
    """Write a trained student and, where there is one, the average of its weights; rank 0 writes for all ranks.

    Raises:
        SetupError: the disk is full.
    """
    if not is_main_process():
        return
    if ema is not None:
        save_model(cast(Network, ema.module), run.model.with_name("model.ema.safetensors"))
    save_model(student, run.model)
