"""The mean of a student's weights over its last steps (``schedule.ema``), which may be better than the last weights.

It is kept in the checkpoint and written as ``model.ema.safetensors`` beside ``model.safetensors``. A verb that is
given a run folder (``eval``, ``plan``, ``export``, ``search``) takes ``model.safetensors``, and a route records these
weights too; the mean is taken where it is named, e.g. ``facekd eval verify --model RUN/model.ema.safetensors``.
"""

from __future__ import annotations

from typing import cast

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from facekd.distributed import leads
from facekd.models.registry import Network
from facekd.models.weights import save_model
from facekd.run import Run


def averaged(network: nn.Module, decay: float) -> AveragedModel | None:
    """A mean to be kept of a network's weights and of its normalisations' statistics; none where ``decay`` is 0.

    After step T it is d^(T-1) w_1 + (1 - d) sum over t = 2..T of d^(T-t) w_t, with d the decay and w_t the weights
    after step t.
    """
    if not decay:
        return None
    rule = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=rule, use_buffers=True)


def save_student(run: Run, student: Network, average: AveragedModel | None) -> None:
    """Write a trained student, and beside it the mean of its weights where there is one; one process does it for all.

    Raises:
        SetupError: the disk is full.
    """
    if not leads():
        return
    if average is not None:
        save_model(cast(Network, average.module), run.model.with_name("model.ema.safetensors"))
    save_model(student, run.model)
