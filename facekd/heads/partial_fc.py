"""A margin head whose classes lie in shards, one in each process, for more people than one memory holds.

Partial FC (An et al., CVPR 2022): every rank meets the whole batch with its own centres, and the softmax runs over the
shards of all ranks. What goes from rank to rank is the batch and four numbers a sample; centres never do.

How gradients count: ``loss`` is the mean over the batch of all ranks, the same number on every rank. Of it,

* centres have the gradient as it is: they belong to one rank, and nothing averages them;
* embeddings have it times the number of ranks, as they would from the mean over the rank's own part of the batch.
  DistributedDataParallel averages the ranks' gradients of the network, and so comes to those of one process.

So the network is wrapped by DistributedDataParallel, the head is not, and terms that are means over a rank's own part
of the batch may be added.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from facekd.distributed import part
from facekd.errors import ModelError
from facekd.heads.collectives import CrossEntropy, Gather, Sharers
from facekd.heads.margin import Margin, checked_share
from facekd.heads.margin_head import MarginHead, cosines, norms

ROWS = 1 << 14
"""Centres that are drawn at once, of which a rank keeps its own."""


class ShardedHead(MarginHead):
    """The classes of a `MarginHead` in contiguous shards, as equal as can be, in the order of ranks.

    Loss, gradients and fresh centres are those of a `MarginHead` with all classes, whatever the number of ranks; alone,
    one rank holds them all. Every rank must bring equally many embeddings, and be in the same mode.

    With a rate below 1, a step in training meets the classes of its batch and a share of the others, drawn by seed,
    step and class, so that it does not matter which rank holds them. The rest have a gradient of 0: the optimiser
    still moves them by momentum and weight decay, as it moves a class that is far from every embedding.

    Args:
        embedding: length of embeddings.
        classes: of the training set, in all shards.
        margin: the rule.
        scale: s, what logits are multiplied by.
        centres: K, centres a class.
        rate: the share of classes that are negatives in a step.
        seed: what they are drawn by; the same on every rank.
        group: the ranks that share the classes; by default all that there are.

    Attributes:
        weight: float32 [classes of the shard * centres, embedding], otherwise as a `MarginHead` has it.
        classes: those of the shard.
        step: batches that were met in training at a rate below 1; only there it is part of the state.

    Raises:
        ModelError: a value that cannot be used.
    """

    step: Tensor

    def __init__(self, embedding: int, classes: int, margin: Margin, scale: float = 64.0, centres: int = 1,
                 rate: float = 1.0, seed: int = 0, group: distributed.ProcessGroup | None = None) -> None:
        with torch.device("meta"):  # all centres take no memory there
            super().__init__(embedding, classes, margin, scale, centres)
        self.rate, self.seed, self.sharers = checked_share(rate), seed, Sharers(group)
        self._parts = [part(classes, rank, self.sharers.world) for rank in range(self.sharers.world)]
        self.classes = self._parts[self.sharers.rank]
        self.weight = nn.Parameter(_fresh(len(self.weight), embedding, self._rows(self.classes)))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64), persistent=rate < 1)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Logits of the shard's classes; in training mode the margin observes the batch of all ranks first.

        Args:
            embeddings: [n, embedding], any float dtype, not normalised; this rank's part of the batch.
            labels: int64 [n], in [0, classes of all shards).

        Returns:
            [n * ranks, classes of the shard], or those of them that were drawn, scaled; float32, or float64 for float64
            embeddings. The batch is in the order of ranks.
        """
        return self._meet(embeddings, labels)[0]

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """See `Head.loss`: over the batch and the classes of all ranks, with the mean of the margin's penalty."""
        logits, places, lengths = self._meet(embeddings, labels)
        entropy: Tensor = CrossEntropy.apply(logits, places, self.sharers)  # type: ignore[no-untyped-call]
        # The value is that of the whole batch; the gradient is that of the own part, which no other rank has.
        own, whole = self.margin.penalty(norms(embeddings)).mean(), self.margin.penalty(lengths).mean()
        return entropy + own + (whole - own).detach()

    def gathered(self, rows: Tensor) -> Tensor | None:
        """All shards of ``weight``, or of what an optimiser keeps in its shape, as a `MarginHead` has them.

        Args:
            rows: this rank's shard.

        Returns:
            [classes of all shards * centres, ...] on the first rank, and None on the others.
        """
        rows = rows.detach().contiguous()
        if self.sharers.rank:
            distributed.send(rows, group=self.sharers.group, group_dst=0)
            return None
        whole = rows.new_empty(self._parts[-1].stop * self.centres, *rows.shape[1:])
        whole[self._rows(self.classes)] = rows
        for rank in range(1, self.sharers.world):
            distributed.recv(whole[self._rows(self._parts[rank])], group=self.sharers.group, group_src=rank)
        return whole

    def own_part(self, whole: Tensor) -> Tensor:
        """A copy of this rank's shard of what ``gathered`` gave, maybe to another number of ranks.

        Raises:
            ModelError: it is of another number of classes or of centres.
        """
        count = self._parts[-1].stop * self.centres
        if len(whole) != count:
            raise ModelError(f"head: the state has {len(whole)} class centres and not {count}; "
                             "use the classes and the head.centres it was made with")
        return whole[self._rows(self.classes)].clone()

    def _rows(self, classes: range) -> slice:
        return slice(classes.start * self.centres, classes.stop * self.centres)

    def _meet(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the shard, the targets' columns in them (-1: elsewhere), and lengths, of the batch of all ranks."""
        embeddings = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
        embeddings = Gather.apply(embeddings, self.sharers)  # type: ignore[no-untyped-call]
        centres, places = self._centres(self.sharers.gathered(labels))
        # Where nothing was drawn there is nothing to compare, but the other ranks still count on this one.
        cos = cosines(embeddings, centres, self.centres) if len(centres) else functional.linear(embeddings, centres)
        lengths, here = norms(embeddings), (places >= 0).nonzero().squeeze(1)
        own = cos[here, places[here]]
        numbers = self.sharers.reduced(cos.new_zeros(len(cos)).index_put((here,), own.detach()))
        target = numbers.index_put((here,), own)
        if self.training:
            self.margin.observe(target, lengths)
        logits = self.margin.logits(cos, places, target, lengths) if len(centres) else cos
        return self.scale * logits, places, lengths

    def _centres(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The centres that a batch meets, and the column of every label among their classes; -1 where it has none."""
        own = labels - self.classes.start
        here = (own >= 0) & (own < len(self.classes))
        if self.rate == 1 or not self.training:
            return self.weight, own.where(here, -1)
        classes = torch.arange(self.classes.start, self.classes.stop, device=labels.device)
        meets = sampled(classes, self.seed, self.step, self.rate)
        meets[own[here]] = True
        self.step += 1
        chosen, each = meets.nonzero().squeeze(1), self.weight.view(len(classes), self.centres, -1)
        return each.index_select(0, chosen).flatten(0, 1), torch.searchsorted(chosen, own).where(here, -1)


def _fresh(count: int, length: int, keep: slice) -> Tensor:
    """Some rows of fresh centres [count, length]; a rank draws them all, so that they do not follow the ranks."""
    own = torch.empty(keep.stop - keep.start, length)
    for begin in range(0, count, ROWS):
        rows = nn.init.normal_(torch.empty(min(ROWS, count - begin), length), 0.0, 0.01)
        first, last = max(keep.start, begin), min(keep.stop, begin + len(rows))
        if first < last:
            own[first - keep.start : last - keep.start] = rows[first - begin : last - begin]
    return own


def sampled(classes: Tensor, seed: int, step: Tensor, rate: float) -> Tensor:
    """Whether classes are negatives in a step: each by itself with a chance of ``rate``, whichever rank asks.

    Args:
        classes: int64, any shape; a class is a number in [0, 2^32).
        seed: of the training; its lowest 32 bits count.
        step: int64, a scalar.
        rate: in [0, 1].

    Returns:
        bool, same shape; where a hash of seed, step and class, in [0, 2^32), is below ``rate * 2^32``.
    """
    key = _mixed(_mixed(torch.full_like(step, seed)) ^ step)
    return _mixed(_mixed(classes) ^ key) < rate * 2**32


def _mixed(value: Tensor) -> Tensor:
    """32 bits, each of which follows from all 32 given: the finaliser of MurmurHash3 (Appleby, public domain)."""
    value = value & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        value = ((value ^ (value >> shift)) * factor) & 0xFFFFFFFF
    return value ^ (value >> 16)
