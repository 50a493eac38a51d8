"""What processes exchange: torchrun starts three, and each writes what it got."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from facekd import distributed
from facekd.errors import SetupError

WORLD_SIZE = 3


def work(folder: Path) -> None:
    """Call every function once, and write the results of this process."""
    before = [distributed.get_rank(), distributed.get_world_size()]
    distributed.init_distributed()
    distributed.init_distributed()  # a second call does nothing
    rank = distributed.get_rank()
    mean = torch.tensor([float(rank), 1.0])
    results = {
        "before": before,
        "after": [rank, distributed.get_world_size(), distributed.is_main_process()],
        "broadcast": distributed.run_on_main_and_broadcast(lambda: {"rank": rank}),
        "gathered": distributed.gather_objects(f"from {rank}"),
        "mean": distributed.all_reduce_mean(mean).tolist(),
        "in place": mean.tolist(),
    }
    distributed.barrier()
    (folder / f"{rank}.json").write_text(json.dumps(results))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, torchrun: Callable[..., object]) -> list[dict[str, Any]]:
    """The results of all ranks."""
    folder = tmp_path_factory.mktemp("ranks")
    torchrun(WORLD_SIZE, "tests.test_distributed", folder)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(WORLD_SIZE)]


def test_a_process_is_alone_until_it_joins(results: list[dict[str, Any]]) -> None:
    assert [result["before"] for result in results] == [[0, 1]] * WORLD_SIZE
    assert [result["after"] for result in results] == [[0, 3, True], [1, 3, False], [2, 3, False]]


def test_all_get_the_result_of_the_main_process(results: list[dict[str, Any]]) -> None:
    assert [result["broadcast"] for result in results] == [{"rank": 0}] * WORLD_SIZE


def test_the_main_process_gets_all_objects_in_order_of_rank(results: list[dict[str, Any]]) -> None:
    assert [result["gathered"] for result in results] == [["from 0", "from 1", "from 2"], None, None]


def test_means_are_those_of_all_ranks_and_in_place(results: list[dict[str, Any]]) -> None:
    assert [result["mean"] for result in results] == [[1.0, 1.0]] * WORLD_SIZE
    assert [result["in place"] for result in results] == [[1.0, 1.0]] * WORLD_SIZE


def test_without_torchrun_nothing_is_joined() -> None:
    distributed.init_distributed()
    assert not torch.distributed.is_initialized()
    assert (distributed.get_rank(), distributed.get_world_size(), distributed.is_main_process()) == (0, 1, True)
    assert distributed.run_on_main_and_broadcast(lambda: 5) == 5
    assert distributed.gather_objects("x") == ["x"]
    assert torch.equal(distributed.all_reduce_mean(torch.arange(3.0)), torch.arange(3.0))


def test_a_process_that_has_not_joined_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed.check_initialized()
    assert distributed.launched_processes() == 1
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert distributed.launched_processes() == 2
    with pytest.raises(SetupError, match=r"has not joined the others; call facekd\.distributed\.init_distributed\(\)"):
        distributed.check_initialized()


@pytest.mark.parametrize(("count", "world_size"), [(10, 1), (10, 3), (2, 4), (0, 2)])
def test_shards_cover_all_items_and_differ_by_at_most_one(count: int, world_size: int) -> None:
    shards = [distributed.shard_range(count, rank, world_size) for rank in range(world_size)]
    assert [index for shard in shards for index in shard] == list(range(count))
    lengths = [len(shard) for shard in shards]
    assert max(lengths) - min(lengths) <= 1


def test_a_device_without_an_index_is_that_of_the_local_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert distributed.local_device(cuda) == cuda
    monkeypatch.setenv("LOCAL_RANK", "5")
    assert distributed.local_device(cuda) == torch.device("cuda", 1)
    assert distributed.local_device(torch.device("cuda", 3)) == torch.device("cuda", 3)
    assert distributed.local_device(cpu) == cpu


if __name__ == "__main__":
    work(Path(sys.argv[1]))
