"""A head in shards against `MarginHead`: alone in this process, and over the ranks that one torchrun starts.

Each rank trains in groups of 2, 3 and 4 ranks; the file's tests compare what the first rank wrote with one process.
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

from facekd.distributed import part, place
from facekd.errors import ModelError
from facekd.heads import HEADS
from facekd.heads.margin_head import MarginHead
from facekd.heads.partial_fc import ShardedHead, sampled

STEPS, BATCH, CLASSES, LENGTH = 20, 12, 10, 16
CASES = [(name, 1, 1.0) for name in sorted(HEADS)] + [("arcface", 3, 1.0), ("magface", 3, 0.3), ("adaface", 1, 0.1)]
"""Margin, centres a class, rate; at a rate of 0.1 it happens that a rank draws no class at all."""

RUNS = {4: CASES, 3: [CASES[1], CASES[7]], 2: [CASES[1], CASES[7]]}
"""Which of them are trained by how many ranks."""

State = dict[str, Tensor]


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels; every other batch is of the first three classes, none of which the last rank holds."""
    generator = torch.Generator().manual_seed(0)
    for step in range(STEPS):
        yield (torch.randn(BATCH, 8, generator=generator),
               torch.randint(3 if step % 2 else CLASSES, (BATCH,), generator=generator))


def made(case: tuple[str, int, float], group: Any = None) -> tuple[nn.Module, ShardedHead]:
    """A small network whose batch statistics stand still, and a head; the same for every number of ranks."""
    name, centres, rate = case
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.PReLU(), nn.Linear(32, LENGTH))
    head = ShardedHead(LENGTH, CLASSES, HEADS[name](), 16, centres, rate, 7, group)
    head.weight.data.mul_(100)  # at 0.01 the first steps would turn them anywhere
    return network.eval(), head


def train(network: nn.Module, head: MarginHead, mine: range) -> list[float]:
    optimizer = torch.optim.SGD([*network.parameters(), *head.parameters()], lr=0.02, momentum=0.9, weight_decay=5e-4)
    losses = []
    for images, labels in batches():
        loss = head.loss(network(images[mine]), labels[mine])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def work(out: Path) -> None:
    """What each rank does."""
    rank, _ = place()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    groups = {world: distributed.new_group(list(range(world))) for world in RUNS}
    for world, cases in RUNS.items():
        if rank >= world:
            continue
        for case in cases:
            network, head = made(case, groups[world])
            alike = [value.clone() for value in head.margin.buffers()]
            averaged = DistributedDataParallel(network, process_group=groups[world])
            losses = train(averaged, head, part(BATCH, rank, world))
            state = {**head.state_dict(), "weight": head.gathered(head.weight)}
            for value, own in zip(alike, head.margin.buffers(), strict=True):
                value.copy_(own)
                distributed.broadcast(value, 0, group=groups[world])
                assert torch.equal(value, own), "the ranks' statistics differ"
            found[f"{world} {case}"] = {"losses": losses, "network": network.state_dict(), "head": state}
        if rank == 0:
            torch.save(found, out)
        distributed.barrier(group=groups[world])
        if world == 2:  # what four ranks had, two go on with
            whole = torch.load(out)[f"4 {CASES[0]}"]["head"]
            _, head = made(CASES[0], groups[world])
            head.load_state_dict({**whole, "weight": head.own_part(whole["weight"])})
            images, labels = next(batches())
            mine = part(BATCH, rank, world)
            found["resumed"] = float(head.loss(images.repeat(1, 2)[mine], labels[mine]).detach())
    if rank == 0:
        torch.save(found, out)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, torchrun: Callable[..., object]) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("sharded") / "found.pt"
    torchrun(4, "tests.heads.test_partial_fc", out)
    result: dict[str, Any] = torch.load(out)
    return result


def alone(case: tuple[str, int, float]) -> tuple[list[float], State, State]:
    """Losses, network and head of one process; at a rate of 1 under the plain head."""
    network, sharded = made(case)
    head: MarginHead = sharded
    if sharded.rate == 1:
        head = MarginHead(LENGTH, CLASSES, sharded.margin, sharded.scale, sharded.centres)
        head.load_state_dict(sharded.state_dict())
    losses = train(network, head, range(BATCH))
    return losses, network.state_dict(), head.state_dict()


@pytest.mark.parametrize(("world", "case"), [(world, case) for world, cases in RUNS.items() for case in cases])
def test_ranks_train_as_one_process_does(found: dict[str, Any], world: int, case: tuple[str, int, float]) -> None:
    losses, network, head = alone(case)
    ranks = found[f"{world} {case}"]
    assert ranks["losses"] == pytest.approx(losses, rel=1e-5)
    assert losses[-1] < 0.9 * losses[0] or case[2] < 1  # it is no standstill that is compared
    torch.testing.assert_close(ranks["network"], network, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ranks["head"], head, rtol=1e-4, atol=1e-5)


def test_another_number_of_ranks_goes_on_with_the_state(found: dict[str, Any]) -> None:
    name, centres, _ = CASES[0]
    head = MarginHead(LENGTH, CLASSES, HEADS[name](), 16, centres)
    head.load_state_dict(found[f"4 {CASES[0]}"]["head"])
    images, labels = next(batches())
    assert found["resumed"] == pytest.approx(float(head.loss(images.repeat(1, 2), labels).detach()), rel=1e-6)


def plain(name: str, centres: int) -> tuple[MarginHead, ShardedHead, Tensor, Tensor]:
    """Both heads alone in float64, with embeddings of lengths that the margins take for short and for long."""
    torch.manual_seed(1)
    whole = MarginHead(LENGTH, CLASSES, HEADS[name](), 64, centres)
    sharded = ShardedHead(LENGTH, CLASSES, HEADS[name](), 64, centres)
    whole.weight.data.normal_()
    sharded.load_state_dict(whole.state_dict())
    embeddings = torch.randn(BATCH, LENGTH) * torch.linspace(1, 30, BATCH)[:, None]
    return whole.double(), sharded.double(), embeddings.double().requires_grad_(), torch.arange(BATCH) % 7


@pytest.mark.parametrize("centres", [1, 3])
@pytest.mark.parametrize("name", sorted(HEADS))
def test_alone_it_is_the_plain_head(name: str, centres: int) -> None:
    *heads, embeddings, labels = plain(name, centres)
    found = [(head.loss(embeddings, labels), head) for head in heads]
    slopes = [torch.autograd.grad(3 * loss, (embeddings, head.weight)) for loss, head in found]
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-12, atol=0)
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-10, atol=1e-12)
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


def test_fresh_centres_are_those_of_the_plain_head_and_use_up_as_much_chance() -> None:
    heads, after = [], []
    for kind in (MarginHead, ShardedHead):
        torch.manual_seed(3)
        heads.append(kind(16, 20_000, HEADS["arcface"](), centres=2))
        after.append(torch.rand(3))
    assert torch.equal(heads[0].weight, heads[1].weight) and torch.equal(*after)


def test_negatives_are_those_of_the_hash() -> None:
    def mixed(value: int) -> int:
        value = (value ^ (value >> 16)) * 0x85EBCA6B % 2**32
        value = (value ^ (value >> 13)) * 0xC2B2AE35 % 2**32
        return value ^ (value >> 16)

    assert [mixed(1), mixed(0xDEADBEEF)] == [0x514E28B7, 0x0DE5C6A9]
    truth = [mixed(mixed(c) ^ mixed(mixed(7) ^ 5)) < 0.3 * 2**32 for c in range(1000)]
    assert sampled(torch.arange(1000), 7, torch.tensor(5), 0.3).tolist() == truth


def test_negatives_are_as_many_as_the_rate_says_and_others_at_every_step_and_seed() -> None:
    classes, rate, expected = torch.arange(100_000), 0.1, 100_000 * torch.tensor([0.1, 0.01])
    draws = [sampled(classes, seed, torch.tensor(step), rate) for seed in (0, 1, 2) for step in (0, 1, 2, 1000)]
    spread = 5 * (expected * (1 - expected / 100_000)).sqrt()
    for number, one in enumerate(draws):
        assert abs(one.sum() - expected[0]) < spread[0]
        for other in draws[:number]:
            assert abs((one & other).sum() - expected[1]) < spread[1]
    often = torch.stack([sampled(classes[:2000], 0, torch.tensor(step), rate) for step in range(2000)]).sum(0)
    assert abs(float(often.float().var()) - 180) < 5 * 180 * (2 / 2000) ** 0.5  # the variance of 2000 tosses at 0.1


def test_a_step_moves_the_classes_that_were_drawn_and_those_of_the_batch() -> None:
    head = ShardedHead(LENGTH, 500, HEADS["cosface"](), centres=2, rate=0.1, seed=3)
    embeddings, labels = torch.randn(4, LENGTH), torch.tensor([3, 499, 3, 0])
    for step in range(3):
        meets = sampled(torch.arange(500), 3, torch.tensor(step), 0.1)
        meets[labels] = True
        (slope,) = torch.autograd.grad(head.loss(embeddings, labels), head.weight)
        assert torch.equal(slope.view(500, -1).any(1), meets)
    assert head.state_dict()["step"] == 3
    assert head.eval()(embeddings, labels).shape == (4, 500) and head.step == 3  # all classes, and no step


@pytest.mark.parametrize(("count", "world"), [(10, 4), (3, 4), (85_742, 8)])
def test_parts_are_whole_and_equal_but_for_one(count: int, world: int) -> None:
    parts = [part(count, rank, world) for rank in range(world)]
    assert [one for held in parts for one in held] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_state_of_other_classes_is_refused() -> None:
    head = ShardedHead(LENGTH, CLASSES, HEADS["arcface"](), centres=2)
    assert head.gathered(head.weight) is not None and torch.equal(head.own_part(head.weight), head.weight)
    with pytest.raises(ModelError, match="the state has 21 class centres and not 20"):
        head.own_part(torch.zeros(21, LENGTH))


@pytest.mark.parametrize("rate", [0.0, 1.1, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate: float) -> None:
    with pytest.raises(ModelError, match="rate must be above 0 and at most 1"):
        ShardedHead(LENGTH, CLASSES, HEADS["arcface"](), rate=rate)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
