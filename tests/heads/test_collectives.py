"""Collective operations in one process, and over the two ranks that one torchrun starts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed
from torch.nn import functional

from facekd.distributed import get_rank, init_distributed
from facekd.heads.collectives import AllGather, ProcessGroupOps, ShardedCrossEntropy

ROWS = torch.arange(8.0).reshape(4, 2)
LOGITS = 3 * torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 3, 4, 3])
SHARDS = (slice(0, 3), slice(3, 5))
"""The classes of either rank."""


def columns(labels: Tensor, shard: slice) -> Tensor:
    """Return the labels' columns in the logits of a shard, -1 for labels of the other shard."""
    return torch.where((labels >= shard.start) & (labels < shard.stop), labels - shard.start, -1)


def cross_entropy(logits: Tensor, targets: Tensor, group: ProcessGroupOps) -> Tensor:
    loss: Tensor = ShardedCrossEntropy.apply(logits, targets, group)  # type: ignore[no-untyped-call]
    return loss


def work(out: Path) -> None:
    """Run every operation on this rank; each rank writes its results."""
    init_distributed()
    rank = get_rank()
    group = ProcessGroupOps(distributed.new_group([0, 1]))
    local = ROWS.chunk(2)[rank].clone().requires_grad_()
    gathered = AllGather.apply(local, group)  # type: ignore[no-untyped-call]
    (gathered * (rank + 1)).sum().backward()
    logits = LOGITS[:, SHARDS[rank]].clone().requires_grad_()
    loss = cross_entropy(logits, columns(LABELS, SHARDS[rank]), group)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.save({
        "group": (group.rank, group.world_size), "sum": group.all_reduce(torch.tensor([rank + 1.0])),
        "max": group.all_reduce(torch.tensor([float(rank)]), distributed.ReduceOp.MAX),
        "gathered": gathered.detach(), "gathered gradient": local.grad, "loss": loss.detach(), "logits": logits.grad,
    }, out.with_suffix(f".{rank}"))


@pytest.fixture(scope="module")
def rank_results(tmp_path_factory: pytest.TempPathFactory, torchrun: Callable[..., object]) -> list[dict[str, Tensor]]:
    out = tmp_path_factory.mktemp("collectives") / "results.pt"
    torchrun(2, "tests.heads.test_collectives", out)
    return [torch.load(out.with_suffix(f".{rank}")) for rank in range(2)]


def test_every_rank_gets_the_reduction(rank_results: list[dict[str, Tensor]]) -> None:
    assert [result["group"] for result in rank_results] == [(0, 2), (1, 2)]
    assert [(result["sum"].item(), result["max"].item()) for result in rank_results] == [(3.0, 1.0)] * 2


def test_every_rank_gets_all_rows_and_the_summed_gradient_times_the_ranks(
    rank_results: list[dict[str, Tensor]]
) -> None:
    for result in rank_results:
        assert torch.equal(result["gathered"], ROWS)
        assert torch.equal(result["gathered gradient"], torch.full((2, 2), 2.0 * (1 + 2)))


def test_the_sharded_cross_entropy_is_that_of_all_classes(rank_results: list[dict[str, Tensor]]) -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = functional.cross_entropy(logits, LABELS)
    (gradient,) = torch.autograd.grad(loss, logits)
    for result, shard in zip(rank_results, SHARDS, strict=True):
        torch.testing.assert_close(result["loss"], loss.detach())
        torch.testing.assert_close(result["logits"], gradient[:, shard])


def test_one_process_gets_its_input_back() -> None:
    group = ProcessGroupOps()
    assert (group.rank, group.world_size) == (0, 1)
    assert group.all_reduce(ROWS) is ROWS and group.all_gather(ROWS) is ROWS


def test_the_cross_entropy_of_one_process_is_torchs() -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = cross_entropy(logits, LABELS, ProcessGroupOps())
    torch.testing.assert_close(loss, functional.cross_entropy(LOGITS, LABELS))
    assert torch.autograd.gradcheck(lambda z: cross_entropy(z, LABELS, ProcessGroupOps()), (logits,))


if __name__ == "__main__":
    work(Path(sys.argv[1]))
