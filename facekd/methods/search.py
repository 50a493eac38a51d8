"""Search for a student inside its teacher.

Gu and Tresp, Search for Better Students to Learn Distilled Knowledge, arXiv 2001.11612, 2020. Weights
theta begin as the teacher's, gates g at 1; both minimise

    T^2 mean_i KL(softmax(t_i / T) || softmax(s_i(theta, g) / T)) + lambda sum_l w_l ||g_l||_1,    g >= 0

(faces: 1 - cos of the embeddings in place of KL), with w_l the multiply-adds or parameters that go with one channel,
their mean 1; a block's gate weighs as much as a channel of its branch, or blocks would go before all channels. The L1
term is minimised by a proximal step, so that gates reach 0 exactly. Of the paper the abstract was read: an L1 norm
selects a subgraph of the teacher by the KL to its outputs. The rest is our reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from facekd.data.loader import Batch
from facekd.losses.responses.kd import kl
from facekd.methods.gates import Gated
from facekd.methods.subgraphs import Budget
from facekd.models.resnet_cifar import ResNet
from facekd.models.resnet_found import LEAST, Layout
from facekd.route.teacher import Teacher
from facekd.training.method import Method


class Search(Method):
    """Turns gates down until what is left keeps to a budget.

    Lambda doubles after every epoch that ends above the budget; while the open gates keep to it they rest, and follow
    the distance to the teacher alone.

    Args:
        network: a copy of the teacher.
        teacher: answers the batches.
        temperature: T of the KL; None compares embeddings.
        sparsity: lambda of the first epoch.
        blocks: whether blocks may go.
        budget: what the student may cost.
        price: of a layout, in multiply-adds or parameters: what the gates are weighed by.
        rate: how far a step goes, of which a share of the training was done before: the learning rate, by 1 - momentum.
        epochs: of the training, for the history.
    """

    student: Gated
    sparsity: Tensor
    met: Tensor
    history: Tensor

    def __init__(self, network: ResNet, teacher: Teacher, temperature: float | None, sparsity: float, blocks: bool,
                 budget: Budget, price: Callable[[Layout], float], rate: Callable[[float], float],
                 epochs: int) -> None:
        super().__init__()
        self.student, self._inputs = Gated(network, blocks), network.inputs
        self._teacher, self.temperature, self.budget, self._rate = teacher, temperature, budget, rate
        gates = self.student.gates()
        saved = [(price(self.student.full) - price(less)) / parts for _, less, parts in gates]
        mean = sum(one * gate.numel() for one, (gate, _, _) in zip(saved, gates, strict=True))
        mean /= sum(gate.numel() for gate, _, _ in gates)
        self._gates = [(gate, one / mean) for one, (gate, _, _) in zip(saved, gates, strict=True)]
        self.register_buffer("sparsity", torch.tensor(sparsity))
        self.register_buffer("met", torch.tensor(0.0))
        self.register_buffer("history", torch.zeros(epochs, 2))

    def turns(self, batch: Batch, done: float) -> Iterator[dict[str, Tensor]]:
        """See `Method.turns`; the gates shrink once the optimiser has stepped."""
        yield self.losses(batch, done)
        self.shrink(self._rate(done))

    def losses(self, batch: Batch, done: float) -> dict[str, Tensor]:
        """See `Method.losses`: the distance to the teacher, and, without a gradient of its own, the L1 term."""
        own, target = self.student(self._inputs(batch.images)), self._teacher.answer(batch).outputs
        if self.temperature is None:
            distance = 1 - cosine_similarity(own.float(), target, dim=1).mean()
        else:
            distance = self.temperature**2 * kl(own, target, self.temperature).mean()
        penalty = torch.stack([weight * gate.detach().sum() for gate, weight in self._gates]).sum()
        return {"distance": distance, "sparsity": (self.sparsity * penalty).float()}

    @torch.no_grad()
    def shrink(self, rate: float) -> None:
        """The proximal step: g <- max(0, g - rate lambda w); a layer's `LEAST` largest gates stay in any case."""
        if self.budget.cheap:
            self.met.fill_(self.budget.holds(self.student.layout()))
        for gate, weight in self._gates:
            less = gate if self.met else gate - (rate * weight * self.sparsity).to(gate.dtype)
            if not self.met and gate.numel() > 1:
                stay = gate.topk(min(LEAST, gate.numel())).indices
                less[stay] = gate[stay]
            gate.copy_(less.clamp(min=0))

    def epoch_ends(self, epoch: int) -> None:
        """Note lambda and the cost of the open gates; double lambda while that is above the budget."""
        cost = self.budget.cost(self.student.layout())
        self.met.fill_(cost <= self.budget.limit)
        self.history[epoch - 1] = torch.tensor([float(self.sparsity), cost])
        if not self.met:
            self.sparsity *= 2
