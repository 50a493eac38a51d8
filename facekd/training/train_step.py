"""The optimizer steps of one batch, in one process or in several that share the batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from facekd.config import TrainingRecipe
from facekd.data.loading.loader import Batch
from facekd.distributed import get_world_size
from facekd.training.machine import Machine
from facekd.training.method import LossClosure, Method
from facekd.training.optimizers import build_optimizer
from facekd.training.sharded_state import gradient_norm, sharded_heads

Metrics = dict[str, Tensor]


class TrainStep:
    """Trains a method on one batch per call.

    With several processes, backward passes average the gradients over ranks, except those of sharded class centers.
    All other weights and buffers begin as they are on rank 0.

    Args:
        method: the method to train, on its device.
        recipe: the optimizer, the number of gradient accumulation steps and the gradient norm limit.
        machine: the device and precision.
        scaler: the gradient scaler of the run.
        ema: the average of the student's weights to update after each step, if there is one.
        optimizer: the optimizer of the method in an earlier stage, to go on with its state; None builds a new one.
    """

    def __init__(self, method: Method, recipe: TrainingRecipe, machine: Machine, scaler: torch.amp.GradScaler,
                 ema: AveragedModel | None, *, optimizer: torch.optim.Optimizer | None = None) -> None:
        self.method = method
        self.recipe = recipe
        self.machine = machine
        self.scaler = scaler
        self.ema = ema
        self.optimizer = optimizer or build_optimizer(method, recipe, machine.device)
        self._ddp: DistributedDataParallel | None = None
        if get_world_size() > 1:
            self._ddp = DistributedDataParallel(_ReplicatedPass(method), forward_sync_buffers=False,
                                                find_unused_parameters=not method.all_parameters_used)

    def __call__(self, batch: Batch, learning_rate: float, progress: float) -> tuple[Metrics, Metrics]:
        """Train on a batch.

        Args:
            batch: this rank's part of the batch.
            learning_rate: the learning rate, before the factors of the parameter groups.
            progress: share of the training steps that are done.

        Returns:
            the loss terms of all optimizer passes, with the total of the last pass as ``loss``, and `Method.metrics`;
            and the gradient norms, which are left out in float16, where gradients that are not finite are normal.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["lr_scale"]
        chunks = batch.to(self.machine.device).chunks(self.recipe.gradient_accumulation_steps)
        metrics, norms = Metrics(), Metrics()
        for closures in zip(*(self.method.optimizer_passes(chunk, progress) for chunk in chunks), strict=True):
            metrics |= self._backward(closures)
            self.scaler.unscale_(self.optimizer)
            norms |= self._clip_gradients()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.method.after_step(progress)
        if self.ema is not None:
            self.ema.update_parameters(self.method.student)
        return metrics, {} if self.scaler.is_enabled() else norms

    def _backward(self, closures: Sequence[LossClosure]) -> Metrics:
        """Compute the mean gradient of one optimizer pass over a batch; return the means of terms and metrics."""
        self.optimizer.zero_grad(set_to_none=True)
        chunk_terms: list[Metrics] = []
        for number, closure in enumerate(closures, 1):
            with self._gradient_sync(is_last=number == len(closures)):
                self.method.metrics = {}
                with self.machine.autocast():
                    terms = closure() if self._ddp is None else self._ddp(closure)
                total = torch.stack(list(terms.values())).sum()
                self.scaler.scale(total / len(closures)).backward()  # type: ignore[no-untyped-call]
            detached = {name: term.detach() for name, term in terms.items()}
            chunk_terms.append({"loss": total.detach(), **detached, **self.method.metrics})
        return {name: torch.stack([terms[name] for terms in chunk_terms]).mean() for name in chunk_terms[0]}

    def _gradient_sync(self, *, is_last: bool) -> AbstractContextManager[None]:
        """Return the context of a forward and backward pass: gradients are averaged with the last chunk only."""
        return nullcontext() if is_last or self._ddp is None else self._ddp.no_sync()

    def _clip_gradients(self) -> Metrics:
        """Clip the gradients of each submodule; return their norms before that.

        A joint norm would be dominated by the class centers early in training, and so suppress the network's gradients.
        """
        norms = Metrics()
        for name, module in self.method.named_children():
            weights = [weight for weight in module.parameters() if weight.grad is not None]
            if weights:
                norm = gradient_norm(module, weights)
                nn.utils.clip_grads_with_norm_(weights, self.recipe.clip_grad_norm, norm)
                norms[f"gradient.{name}"] = norm
        return norms


class _ReplicatedPass(nn.Module):
    """The module in DistributedDataParallel: it runs a closure, and registers what is replicated over ranks.

    DistributedDataParallel averages the gradients of the weights that are registered here. The class centers of sharded
    heads are not: each rank owns its shard, and the head computes the complete gradient itself.
    """

    def __init__(self, method: Method) -> None:
        super().__init__()
        sharded = sharded_heads(method)
        self.weights = nn.ParameterList(weight for name, weight in method.named_parameters() if name not in sharded)
        for number, buffer in enumerate(method.buffers()):
            self.register_buffer(f"buffer{number}", buffer)

    def forward(self, closure: LossClosure) -> dict[str, Tensor]:
        """Compute the loss terms, between the hooks of DistributedDataParallel."""
        return closure()
