"""Search for a student inside its teacher.

Gu and Tresp, Search for Better Students to Learn Distilled Knowledge, arXiv 2001.11612, 2020. The weights theta start
as the teacher's and the gates g as 1; both minimize

    T^2 mean_i KL(softmax(t_i / T) || softmax(s_i(theta, g) / T)) + lambda sum_l w_l ||g_l||_1,    g >= 0

(faces: 1 - cos of the embeddings in place of KL). w_l are the multiply-adds or parameters saved by one channel or one
block, scaled to a mean of 1. The L1 term is minimized by a proximal step, so that gates reach 0 exactly. Of the paper
only the abstract was available: an L1 norm selects a subgraph of the teacher by the KL to its outputs. The rest is our
reading.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from facekd.data.loading.loader import Batch
from facekd.losses.responses.kd import kl_divergence
from facekd.methods.search.budget import Budget
from facekd.methods.search.gates import Gates
from facekd.models.architectures.resnet_cifar import ResNet
from facekd.models.architectures.resnet_pruned import MIN_CHANNELS, Layout
from facekd.route.teacher import Teacher
from facekd.training.method import LossClosure, Method


class ChannelSearch(Method):
    """Shrinks gates until the network of the open gates is within a budget.

    Lambda doubles after every epoch that ends above the budget. As soon as the open gates are within the budget, all
    gates are fixed, and only the weights are trained.

    Args:
        network: a copy of the teacher; its batch-norm scales are frozen, because they could compensate for the gates.
        teacher: the source of the targets.
        temperature: T of the KL; None compares embeddings.
        sparsity: lambda of the first epoch.
        drop_blocks: whether blocks may be dropped.
        budget: the limit of the student in multiply-adds or parameters, whose cost also weights the gates.
        step_size: maps the completed share of the training to the effective step size of the gates: their learning rate
            / (1 - momentum).
        gate_lr_scale: the factor on the learning rate of the gates.
        epochs: the number of epochs of the training.

    Attributes:
        sparsity: lambda of the current epoch.
        budget_met: 1 if the open gates are within the budget, else 0.
        history: lambda and the cost of the open gates at the end of each epoch: float32 [epochs, 2].
        weighted_gates: the gates that can reach 0, each with its w.
    """

    student: ResNet
    sparsity: Tensor
    budget_met: Tensor
    history: Tensor

    def __init__(self, network: ResNet, teacher: Teacher, *, temperature: float | None, sparsity: float,
                 drop_blocks: bool, budget: Budget, step_size: Callable[[float], float], gate_lr_scale: float,
                 epochs: int) -> None:
        super().__init__()
        self.student = network
        self.gates = Gates(Layout.from_network(network), drop_blocks)
        self.lr_scales = {"gates": gate_lr_scale}
        self.temperature = temperature
        self.budget = budget
        self._teacher = teacher
        self._step_size = step_size
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.requires_grad_(False)
        self.weighted_gates = _weight_gates(self.gates, budget)
        self.register_buffer("sparsity", torch.tensor(sparsity))
        self.register_buffer("budget_met", torch.tensor(0.0))
        self.register_buffer("history", torch.zeros(epochs, 2))

    def optimizer_passes(self, batch: Batch, progress: float) -> list[LossClosure]:
        """See `Method.optimizer_passes`."""
        self._gates_before_step = [gate.detach().clone() for gate, _ in self.weighted_gates]
        return super().optimizer_passes(batch, progress)

    def after_step(self, progress: float) -> None:
        """See `Method.after_step`: shrink the gates, or, within the budget, undo the optimizer's step on them."""
        if not self.budget_met:
            self.shrink(self._step_size(progress))
            return
        with torch.no_grad():
            for (gate, _), before in zip(self.weighted_gates, self._gates_before_step, strict=True):
                gate.copy_(before)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """See `Method.losses`: the distance to the teacher, and the L1 term without a gradient, for the log."""
        outputs = self.gates(self.student, self.student.preprocess(batch.images))
        target = self._teacher.forward(batch).outputs
        if self.temperature is None:
            distance = 1 - cosine_similarity(outputs.float(), target, dim=1).mean()
        else:
            distance = self.temperature**2 * kl_divergence(outputs, target, self.temperature).mean()
        penalty = torch.stack([weight * gate.detach().sum() for gate, weight in self.weighted_gates]).sum()
        return {"distance": distance, "sparsity": (self.sparsity * penalty).float()}

    @torch.no_grad()
    def shrink(self, step_size: float) -> None:
        """Take the proximal step g <- max(0, g - step_size lambda w).

        The ``MIN_CHANNELS`` largest gates of a layer stay open. A block stays, too, if the network without it could not
        use up the budget even at full width.
        """
        for gate, weight in self.weighted_gates:
            shrunk = gate - (step_size * weight * self.sparsity).to(gate.dtype)
            if gate.numel() > 1:
                largest = gate.topk(MIN_CHANNELS).indices
                shrunk[largest] = gate[largest]
            elif shrunk <= 0 < gate and self.budget.allows(self.gates.without_block(gate)):
                continue
            gate.copy_(shrunk.clamp(min=0))
        self.budget_met.fill_(self.budget.allows(self.gates.layout()))

    def on_epoch_end(self, epoch: int) -> None:
        """Record lambda and the cost of the open gates; double lambda if the cost is above the budget.

        Args:
            epoch: the number of the epoch, from 1.
        """
        self.history[epoch - 1] = torch.tensor([float(self.sparsity), self.budget.cost(self.gates.layout())])
        if not self.budget_met:
            self.sparsity *= 2


def _weight_gates(gates: Gates, budget: Budget) -> list[tuple[nn.Parameter, float]]:
    """Return the gates with the cost that one channel, or block, saves, divided by the mean over all single gates."""
    full_cost = budget.cost(gates.full_layout)
    savings = [(gate, full_cost - budget.cost(reduced)) for gate, reduced in gates.prunable_gates()]
    mean = sum(saving * gate.numel() for gate, saving in savings)
    mean /= sum(gate.numel() for gate, _ in savings)
    return [(gate, saving / mean) for gate, saving in savings]
