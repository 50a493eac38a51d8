"""A margin head whose classes are sharded over processes, for more classes than the memory of one device holds.

Partial FC (An et al., CVPR 2022): every rank compares the whole batch with its own class centers, and the softmax runs
over the shards of all ranks. The ranks exchange the batch and four numbers per sample; class centers are never sent.

Gradients: ``loss`` is the mean over the batch of all ranks, the same number on every rank. Of this mean,

* class centers get the plain gradient: one rank owns them, and nothing averages them;
* embeddings get the gradient times the number of ranks, as they would from a mean over the rank's share of the batch.
  DistributedDataParallel averages the ranks' gradients of the network, and the result equals that of one process.

So the network is wrapped in DistributedDataParallel and the head is not, and terms that are means over a rank's share
of the batch may be added to the loss.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from facekd.distributed import shard_range
from facekd.errors import ModelError
from facekd.heads.collectives import AllGather, ProcessGroupOps, ShardedCrossEntropy
from facekd.heads.margin import Margin, check_rate
from facekd.heads.margin_head import MarginHead, class_cosines, embedding_norms

INIT_ROWS = 1 << 14
"""Class centers that are drawn at once during initialization."""


class PartialFCHead(MarginHead):
    """A `MarginHead` with its classes in contiguous shards of nearly equal size, in the order of ranks.

    Loss, gradients and initial centers equal those of a `MarginHead` with all classes, for any number of ranks; a
    single rank holds all classes. Every rank must pass the same number of embeddings and be in the same mode.

    With a sample rate below 1, a training step uses the classes of its batch and a share of the others, drawn by seed,
    step and class, so that the draw does not depend on which rank holds a class. The rest have a gradient of 0; the
    optimizer still moves them by momentum and weight decay, as it moves a class that is far from every embedding.

    Args:
        embedding_size: the length of the embeddings.
        classes: the number of classes of the training set, over all shards.
        margin: the margin rule.
        scale: s, the factor of the logits.
        sub_centers: K, the number of centers per class.
        sample_rate: the share of classes that are negatives in a step.
        seed: the seed of the draw; it must be equal on every rank.
        group: the ranks that share the classes; by default all processes of the run.

    Attributes:
        weight: float32 [local classes * sub_centers, embedding_size], otherwise as in `MarginHead`.
        local_classes: the classes of the local shard.
        step: the number of training batches so far; it counts, and is part of the state, only for a rate below 1.

    Raises:
        ModelError: an argument is out of range.
    """

    step: Tensor

    def __init__(
        self, embedding_size: int, classes: int, margin: Margin, scale: float = 64.0, sub_centers: int = 1, *,
        sample_rate: float = 1.0, seed: int = 0, group: distributed.ProcessGroup | None = None,
    ) -> None:
        with torch.device("meta"):  # the centers of all classes take no memory there
            super().__init__(embedding_size, classes, margin, scale, sub_centers)
        self.sample_rate = check_rate(sample_rate)
        self.seed = seed
        self.process_group = ProcessGroupOps(group)
        world_size = self.process_group.world_size
        self._shards = [shard_range(classes, rank, world_size) for rank in range(world_size)]
        self.local_classes = self._shards[self.process_group.rank]
        self.weight = nn.Parameter(_initial_rows(len(self.weight), embedding_size, self._rows(self.local_classes)))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64), persistent=sample_rate < 1)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the logits of the shard's classes; in training mode the margin's statistics are updated first.

        Args:
            embeddings: this rank's share of the batch, [n, embedding_size], any float dtype, not normalized.
            labels: the true classes, int64 [n], in [0, classes of all shards).

        Returns:
            [n * ranks, classes of the shard], or the columns of the drawn classes, scaled; float32, or float64 for
            float64 embeddings. The batch is in the order of ranks.
        """
        return self._sharded_logits(embeddings, labels)[0]

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """See `Head.loss`: over the batch and the classes of all ranks, with the mean of the margin's penalty."""
        logits, columns, norms = self._sharded_logits(embeddings, labels)
        entropy: Tensor = ShardedCrossEntropy.apply(logits, columns, self.process_group)  # type: ignore[no-untyped-call]
        # The value is that of the whole batch; the gradient is that of the local share, which no other rank has.
        local_penalty = self.margin.penalty(embedding_norms(embeddings)).mean()
        penalty = self.margin.penalty(norms).mean()
        return entropy + local_penalty + (penalty - local_penalty).detach()

    def gather_rows(self, rows: Tensor) -> Tensor | None:
        """Gather all shards of ``weight``, or of optimizer state in its shape, on the first rank.

        Args:
            rows: this rank's shard.

        Returns:
            [classes of all shards * sub_centers, ...] on the first rank, as in a `MarginHead`; None on the others.
        """
        rows = rows.detach().contiguous()
        group = self.process_group.group
        if self.process_group.rank:
            distributed.send(rows, group=group, group_dst=0)
            return None
        all_rows = rows.new_empty(self._shards[-1].stop * self.sub_centers, *rows.shape[1:])
        all_rows[self._rows(self.local_classes)] = rows
        for rank in range(1, self.process_group.world_size):
            distributed.recv(all_rows[self._rows(self._shards[rank])], group=group, group_src=rank)
        return all_rows

    def shard_rows(self, all_rows: Tensor) -> Tensor:
        """Return a copy of this rank's shard of a result of ``gather_rows``, which any number of ranks may have made.

        Raises:
            ModelError: the numbers of classes or of sub-centers differ.
        """
        count = self._shards[-1].stop * self.sub_centers
        if len(all_rows) != count:
            raise ModelError(f"head: the state has {len(all_rows)} class centers and not {count}; "
                             "use the classes and the head.sub_centers it was made with")
        return all_rows[self._rows(self.local_classes)].clone()

    def _rows(self, classes: range) -> slice:
        return slice(classes.start * self.sub_centers, classes.stop * self.sub_centers)

    def _sharded_logits(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the shard's logits, the targets' columns in them (-1: in another shard), and the lengths.

        All three cover the batch of all ranks.
        """
        embeddings = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
        embeddings = AllGather.apply(embeddings, self.process_group)  # type: ignore[no-untyped-call]
        centers, columns = self._active_centers(self.process_group.all_gather(labels))
        # A rank may draw no class at all. It must still take part in the collective operations below.
        if len(centers):
            cos = class_cosines(embeddings, centers, self.sub_centers)
        else:
            cos = functional.linear(embeddings, centers)  # [N, 0], connected to the graph
        norms = embedding_norms(embeddings)
        local = (columns >= 0).nonzero().squeeze(1)  # the samples whose target the local shard holds
        local_target = cos[local, columns[local]]
        # Values come from all ranks; only the local targets have a gradient.
        values = self.process_group.all_reduce(cos.new_zeros(len(cos)).index_put((local,), local_target.detach()))
        target = values.index_put((local,), local_target)
        if self.training:
            self.margin.update_statistics(target, norms)
        logits = self.margin.logits(cos, columns, target, norms) if len(centers) else cos
        return self.scale * logits, columns, norms

    def _active_centers(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class centers used in this step, and each label's column among their classes (-1: not local)."""
        local_labels = labels - self.local_classes.start
        is_local = (local_labels >= 0) & (local_labels < len(self.local_classes))
        if self.sample_rate == 1 or not self.training:
            return self.weight, local_labels.where(is_local, -1)
        classes = torch.arange(self.local_classes.start, self.local_classes.stop, device=labels.device)
        active = is_sampled(classes, self.seed, self.step, self.sample_rate)
        active[local_labels[is_local]] = True
        self.step += 1
        chosen = active.nonzero().squeeze(1)
        class_centers = self.weight.view(len(classes), self.sub_centers, -1)
        columns = torch.searchsorted(chosen, local_labels).where(is_local, -1)
        return class_centers.index_select(0, chosen).flatten(0, 1), columns


def _initial_rows(count: int, length: int, local: slice) -> Tensor:
    """Return the rows ``local`` of initial class centers [count, length].

    Every rank draws all rows and drops those of other ranks, so that the result does not depend on the number of ranks.
    """
    local_rows = torch.empty(local.stop - local.start, length)
    for begin in range(0, count, INIT_ROWS):
        rows = nn.init.normal_(torch.empty(min(INIT_ROWS, count - begin), length), 0.0, 0.01)
        first = max(local.start, begin)
        last = min(local.stop, begin + len(rows))
        if first < last:
            local_rows[first - local.start : last - local.start] = rows[first - begin : last - begin]
    return local_rows


def is_sampled(classes: Tensor, seed: int, step: Tensor, sample_rate: float) -> Tensor:
    """Return which classes are negatives in a step: each independently with probability ``sample_rate``.

    Args:
        classes: class indices, int64, any shape, in [0, 2^32).
        seed: the seed of the training; its lowest 32 bits count.
        step: the number of the step, an int64 scalar.
        sample_rate: the probability, in [0, 1].

    Returns:
        bool, same shape: whether a hash of seed, step and class, in [0, 2^32), is below ``sample_rate * 2^32``. Every
        rank gets the same answer.
    """
    key = _hash(_hash(torch.full_like(step, seed)) ^ step)
    return _hash(_hash(classes) ^ key) < sample_rate * 2**32


def _hash(value: Tensor) -> Tensor:
    """Return a 32-bit hash of the lowest 32 bits: the finalizer of MurmurHash3 (Appleby, public domain)."""
    value = value & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        value = ((value ^ (value >> shift)) * factor) & 0xFFFFFFFF
    return value ^ (value >> 16)
