"""A sharded head against `MarginHead`: alone in this process, and over the ranks of one torchrun.

The ranks train in groups of 2, 3 and 4; tests compare the results that rank 0 wrote with those of one process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from facekd.distributed import get_rank, init_distributed, shard_range
from facekd.errors import ModelError
from facekd.heads import HEADS
from facekd.heads.margin_head import MarginHead
from facekd.heads.partial_fc import PartialFCHead, is_sampled

STEPS, BATCH, CLASSES, LENGTH = 20, 12, 10, 16
CASES = [(name, 1, 1.0) for name in sorted(HEADS)] + [("arcface", 3, 1.0), ("magface", 3, 0.3), ("adaface", 1, 0.1)]
"""Margin, sub-centers, sample rate; at a rate of 0.1 a rank sometimes draws no class at all."""

RUNS = {4: CASES, 3: [CASES[1], CASES[7]], 2: [CASES[1], CASES[7]]}
"""The cases that each number of ranks trains."""

State = dict[str, Tensor]


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images and labels; every other batch has only the first three classes, none of them on the last rank."""
    generator = torch.Generator().manual_seed(0)
    for step in range(STEPS):
        yield (torch.randn(BATCH, 8, generator=generator),
               torch.randint(3 if step % 2 else CLASSES, (BATCH,), generator=generator))


def make_network_and_head(case: tuple[str, int, float], group: Any = None) -> tuple[nn.Module, PartialFCHead]:
    """Create a small network in evaluation mode and a head, both equal for every number of ranks."""
    name, sub_centers, sample_rate = case
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.PReLU(), nn.Linear(32, LENGTH))
    head = PartialFCHead(LENGTH, CLASSES, HEADS[name](), 16, sub_centers, sample_rate=sample_rate, seed=7, group=group)
    head.weight.data.mul_(100)  # at 0.01 the first steps would change their directions completely
    return network.eval(), head


def train(network: nn.Module, head: MarginHead, local_rows: range) -> list[float]:
    optimizer = torch.optim.SGD([*network.parameters(), *head.parameters()], lr=0.02, momentum=0.9, weight_decay=5e-4)
    losses = []
    for images, labels in batches():
        loss = head.loss(network(images[local_rows]), labels[local_rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def work(out: Path) -> None:
    """Train all cases on this rank; rank 0 writes the results."""
    init_distributed()
    rank = get_rank()
    torch.set_num_threads(1)
    rank_results: dict[str, Any] = {}
    groups = {world: distributed.new_group(list(range(world))) for world in RUNS}
    for world, cases in RUNS.items():
        if rank >= world:
            continue
        for case in cases:
            network, head = make_network_and_head(case, groups[world])
            local_buffers = [value.clone() for value in head.margin.buffers()]
            averaged = DistributedDataParallel(network, process_group=groups[world])
            losses = train(averaged, head, shard_range(BATCH, rank, world))
            state = {**head.state_dict(), "weight": head.gather_rows(head.weight)}
            for value, buffer in zip(local_buffers, head.margin.buffers(), strict=True):
                value.copy_(buffer)
                distributed.broadcast(value, 0, group=groups[world])
                assert torch.equal(value, buffer), "the ranks' statistics differ"
            rank_results[f"{world} {case}"] = {"losses": losses, "network": network.state_dict(), "head": state}
        if rank == 0:
            torch.save(rank_results, out)
        distributed.barrier(group=groups[world])
        if world == 2:  # two ranks continue from the state of four
            full_head = torch.load(out)[f"4 {CASES[0]}"]["head"]
            _, head = make_network_and_head(CASES[0], groups[world])
            head.load_state_dict({**full_head, "weight": head.shard_rows(full_head["weight"])})
            images, labels = next(batches())
            local_rows = shard_range(BATCH, rank, world)
            rank_results["resumed"] = float(head.loss(images.repeat(1, 2)[local_rows], labels[local_rows]).detach())
    if rank == 0:
        torch.save(rank_results, out)


@pytest.fixture(scope="module")
def rank_results(tmp_path_factory: pytest.TempPathFactory, torchrun: Callable[..., object]) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("sharded") / "results.pt"
    torchrun(4, "tests.heads.test_partial_fc", out)
    result: dict[str, Any] = torch.load(out)
    return result


def alone(case: tuple[str, int, float]) -> tuple[list[float], State, State]:
    """Return losses, network and head of one process; at a rate of 1 with a `MarginHead`."""
    network, sharded = make_network_and_head(case)
    head: MarginHead = sharded
    if sharded.sample_rate == 1:
        head = MarginHead(LENGTH, CLASSES, sharded.margin, sharded.scale, sharded.sub_centers)
        head.load_state_dict(sharded.state_dict())
    losses = train(network, head, range(BATCH))
    return losses, network.state_dict(), head.state_dict()


@pytest.mark.parametrize(("world", "case"), [(world, case) for world, cases in RUNS.items() for case in cases])
def test_ranks_train_as_one_process_does(
    rank_results: dict[str, Any], world: int, case: tuple[str, int, float]
) -> None:
    losses, network, head = alone(case)
    ranks = rank_results[f"{world} {case}"]
    assert ranks["losses"] == pytest.approx(losses, rel=1e-5)
    assert losses[-1] < 0.9 * losses[0] or case[2] < 1  # the comparison would be void without progress
    torch.testing.assert_close(ranks["network"], network, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ranks["head"], head, rtol=1e-4, atol=1e-5)


def test_another_number_of_ranks_goes_on_with_the_state(rank_results: dict[str, Any]) -> None:
    name, sub_centers, _ = CASES[0]
    head = MarginHead(LENGTH, CLASSES, HEADS[name](), 16, sub_centers)
    head.load_state_dict(rank_results[f"4 {CASES[0]}"]["head"])
    images, labels = next(batches())
    assert rank_results["resumed"] == pytest.approx(float(head.loss(images.repeat(1, 2), labels).detach()), rel=1e-6)


def plain(name: str, sub_centers: int) -> tuple[MarginHead, PartialFCHead, Tensor, Tensor]:
    """Return both heads in one process in float64, and embeddings that are short and long for the margins."""
    torch.manual_seed(1)
    full_head = MarginHead(LENGTH, CLASSES, HEADS[name](), 64, sub_centers)
    sharded = PartialFCHead(LENGTH, CLASSES, HEADS[name](), 64, sub_centers)
    full_head.weight.data.normal_()
    sharded.load_state_dict(full_head.state_dict())
    embeddings = torch.randn(BATCH, LENGTH) * torch.linspace(1, 30, BATCH)[:, None]
    return full_head.double(), sharded.double(), embeddings.double().requires_grad_(), torch.arange(BATCH) % 7


@pytest.mark.parametrize("sub_centers", [1, 3])
@pytest.mark.parametrize("name", sorted(HEADS))
def test_alone_it_is_the_plain_head(name: str, sub_centers: int) -> None:
    *heads, embeddings, labels = plain(name, sub_centers)
    losses = [head.loss(embeddings, labels) for head in heads]
    gradients = [torch.autograd.grad(3 * loss, (embeddings, head.weight))
                 for loss, head in zip(losses, heads, strict=True)]
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(heads[1].state_dict(), heads[0].state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(heads[1](embeddings, labels), heads[0](embeddings, labels), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_reach_it(dtype: torch.dtype) -> None:
    _, head, embeddings, labels = plain("arcface", 2)
    low = embeddings.detach().to(dtype)
    outside = head.float().loss(low.float(), labels)
    with torch.autocast("cpu", dtype):
        inside = head.loss(low, labels)
    assert inside.dtype == torch.float32 and torch.equal(inside, outside)


def test_initial_centers_are_those_of_the_plain_head_and_take_as_many_random_numbers() -> None:
    heads, after = [], []
    for head_class in (MarginHead, PartialFCHead):
        torch.manual_seed(3)
        heads.append(head_class(16, 20_000, HEADS["arcface"](), sub_centers=2))
        after.append(torch.rand(3))
    assert torch.equal(heads[0].weight, heads[1].weight) and torch.equal(*after)


def test_negatives_are_those_of_the_hash() -> None:
    def murmur(value: int) -> int:
        value = (value ^ (value >> 16)) * 0x85EBCA6B % 2**32
        value = (value ^ (value >> 13)) * 0xC2B2AE35 % 2**32
        return value ^ (value >> 16)

    assert [murmur(1), murmur(0xDEADBEEF)] == [0x514E28B7, 0x0DE5C6A9]
    truth = [murmur(murmur(c) ^ murmur(murmur(7) ^ 5)) < 0.3 * 2**32 for c in range(1000)]
    assert is_sampled(torch.arange(1000), 7, torch.tensor(5), 0.3).tolist() == truth


def test_negatives_are_as_many_as_the_rate_says_and_others_at_every_step_and_seed() -> None:
    classes, rate, expected = torch.arange(100_000), 0.1, 100_000 * torch.tensor([0.1, 0.01])
    draws = [is_sampled(classes, seed, torch.tensor(step), rate) for seed in (0, 1, 2) for step in (0, 1, 2, 1000)]
    spread = 5 * (expected * (1 - expected / 100_000)).sqrt()
    for number, draw in enumerate(draws):
        assert abs(draw.sum() - expected[0]) < spread[0]
        for other in draws[:number]:
            assert abs((draw & other).sum() - expected[1]) < spread[1]
    counts = torch.stack([is_sampled(classes[:2000], 0, torch.tensor(step), rate) for step in range(2000)]).sum(0)
    assert abs(float(counts.float().var()) - 180) < 5 * 180 * (2 / 2000) ** 0.5  # the variance of 2000 tosses at 0.1


def test_a_step_moves_the_classes_that_were_drawn_and_those_of_the_batch() -> None:
    head = PartialFCHead(LENGTH, 500, HEADS["cosface"](), sub_centers=2, sample_rate=0.1, seed=3)
    embeddings, labels = torch.randn(4, LENGTH), torch.tensor([3, 499, 3, 0])
    for step in range(3):
        active = is_sampled(torch.arange(500), 3, torch.tensor(step), 0.1)
        active[labels] = True
        (gradient,) = torch.autograd.grad(head.loss(embeddings, labels), head.weight)
        assert torch.equal(gradient.view(500, -1).any(1), active)
    assert head.state_dict()["step"] == 3
    logits = head.eval()(embeddings, labels)
    assert logits.shape == (4, 500) and head.step == 3  # evaluation uses all classes and does not count a step


@pytest.mark.parametrize(("count", "world"), [(10, 4), (3, 4), (85_742, 8)])
def test_shards_are_complete_and_equal_but_for_one(count: int, world: int) -> None:
    shards = [shard_range(count, rank, world) for rank in range(world)]
    assert [item for shard in shards for item in shard] == list(range(count))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_a_state_of_other_classes_is_refused() -> None:
    head = PartialFCHead(LENGTH, CLASSES, HEADS["arcface"](), sub_centers=2)
    assert head.gather_rows(head.weight) is not None and torch.equal(head.shard_rows(head.weight), head.weight)
    with pytest.raises(ModelError, match="the state has 21 class centers and not 20"):
        head.shard_rows(torch.zeros(21, LENGTH))


@pytest.mark.parametrize("rate", [0.0, 1.1, float("nan")])
def test_a_rate_outside_of_0_to_1_is_refused(rate: float) -> None:
    with pytest.raises(ModelError, match="rate must be above 0 and at most 1"):
        PartialFCHead(LENGTH, CLASSES, HEADS["arcface"](), sample_rate=rate)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
