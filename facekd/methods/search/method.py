"""Search for a student inside its teacher.

Gu and Tresp, Search for Better Students to Learn Distilled Knowledge, arXiv 2001.11612, 2020. Weights
theta begin as the teacher's, gates g at 1; both minimise

    T^2 mean_i KL(softmax(t_i / T) || softmax(s_i(theta, g) / T)) + lambda sum_l w_l ||g_l||_1,    g >= 0

(faces: 1 - cos of the embeddings in place of KL), with w_l the multiply-adds or parameters that go with one channel or
one block, their mean 1. The L1 term is minimised by a proximal step, so that gates reach 0 exactly. Of the paper the
abstract was read: an L1 norm selects a subgraph of the teacher by the KL to its outputs. The rest is our reading.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from facekd.data.loading.loader import Batch
from facekd.losses.responses.kd import kl
from facekd.methods.search.budget import Budget
from facekd.methods.search.gates import Gates
from facekd.models.architectures.resnet_cifar import ResNet
from facekd.models.architectures.resnet_pruned import LEAST, Layout
from facekd.route.teacher import Teacher
from facekd.training.method import Method, Turn


class Search(Method):
    """Turns gates down until what is left keeps to a budget.

    Lambda doubles after every epoch that ends above the budget; once the open gates keep to it, all rest as they are.

    Args:
        network: a copy of the teacher; its normalisations' scales rest, because they could grow as the gates shrink.
        teacher: answers the batches.
        temperature: T of the KL; None compares embeddings.
        sparsity: lambda of the first epoch.
        blocks: whether blocks may go.
        budget: what the student may cost, in multiply-adds or parameters, by which the gates are weighed too.
        rate: how far the gates' steps go, of which a share of the training was done before: their learning rate, by
            1 - momentum.
        pace: factor on the gates' learning rate.
        epochs: of the training, for the history.
    """

    student: ResNet
    sparsity: Tensor
    met: Tensor
    history: Tensor

    def __init__(self, network: ResNet, teacher: Teacher, temperature: float | None, sparsity: float, blocks: bool,
                 budget: Budget, rate: Callable[[float], float], pace: float, epochs: int) -> None:
        super().__init__()
        self.student, self.gates, self.pace = network, Gates(Layout.of(network), blocks), {"gates": pace}
        self._teacher, self.temperature, self.budget, self._rate = teacher, temperature, budget, rate
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.requires_grad_(False)
        vectors = self.gates.vectors()
        saved = [budget.cost(self.gates.full) - budget.cost(less) for _, less in vectors]
        mean = sum(one * gate.numel() for one, (gate, _) in zip(saved, vectors, strict=True))
        mean /= sum(gate.numel() for gate, _ in vectors)
        self._gates = [(gate, one / mean) for one, (gate, _) in zip(saved, vectors, strict=True)]
        self.register_buffer("sparsity", torch.tensor(sparsity))
        self.register_buffer("met", torch.tensor(0.0))
        self.register_buffer("history", torch.zeros(epochs, 2))

    def turns(self, batch: Batch, done: float) -> list[Turn]:
        """See `Method.turns`."""
        self._rested = [gate.detach().clone() for gate, _ in self._gates]
        return super().turns(batch, done)

    def stepped(self, done: float) -> None:
        """See `Method.stepped`: the gates shrink, or, within the budget, are put back where they were."""
        if self.met:
            with torch.no_grad():
                for (gate, _), rested in zip(self._gates, self._rested, strict=True):
                    gate.copy_(rested)
        else:
            self.shrink(self._rate(done))

    def losses(self, batch: Batch, done: float) -> dict[str, Tensor]:
        """See `Method.losses`: the distance to the teacher, and, without a gradient of its own, the L1 term."""
        own, target = self.gates(self.student, self.student.inputs(batch.images)), self._teacher.answer(batch).outputs
        if self.temperature is None:
            distance = 1 - cosine_similarity(own.float(), target, dim=1).mean()
        else:
            distance = self.temperature**2 * kl(own, target, self.temperature).mean()
        penalty = torch.stack([weight * gate.detach().sum() for gate, weight in self._gates]).sum()
        return {"distance": distance, "sparsity": (self.sparsity * penalty).float()}

    @torch.no_grad()
    def shrink(self, rate: float) -> None:
        """The proximal step: g <- max(0, g - rate lambda w); a layer's `LEAST` largest gates stay in any case.

        A block stays, too, where the network without it could not use up the budget even at full width.
        """
        for gate, weight in self._gates:
            less = gate - (rate * weight * self.sparsity).to(gate.dtype)
            if gate.numel() > 1:
                stay = gate.topk(LEAST).indices
                less[stay] = gate[stay]
            elif less <= 0 < gate and self.budget.holds(self.gates.without(gate)):
                continue
            gate.copy_(less.clamp(min=0))
        self.met.fill_(self.budget.holds(self.gates.layout()))

    def epoch_ends(self, epoch: int) -> None:
        """Note lambda and the cost of the open gates; double lambda while that is above the budget."""
        self.history[epoch - 1] = torch.tensor([float(self.sparsity), self.budget.cost(self.gates.layout())])
        if not self.met:
            self.sparsity *= 2
