from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from facekd.errors import ModelError, SetupError
from facekd.training import checkpoint
from facekd.training.checkpoint import Position

POSITION = Position(1, 5, 17)


def trained(width: int = 3) -> tuple[nn.Linear, torch.optim.Optimizer]:
    torch.manual_seed(width)
    network = nn.Linear(4, width)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    return network, optimizer


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    network, optimizer = trained()
    checkpoint.save(tmp_path / "last.pt", POSITION, network, optimizer=optimizer.state_dict(), scaler={"scale": 8.0})
    return tmp_path / "last.pt"


def test_everything_comes_back(saved: Path) -> None:
    network, optimizer = trained()
    following = torch.rand(3)
    other = nn.Linear(4, 3)
    position, states = checkpoint.restore(saved, other)
    assert (position, set(states), states["scaler"]) == (POSITION, {"optimizer", "scaler"}, {"scale": 8.0})
    assert torch.equal(other.weight, network.weight)
    assert torch.equal(torch.rand(3), following)
    fresh = torch.optim.SGD(other.parameters(), lr=1.0, momentum=0.9)
    fresh.load_state_dict(states["optimizer"])
    momentum = optimizer.state_dict()["state"][0]["momentum_buffer"]
    assert torch.equal(fresh.state_dict()["state"][0]["momentum_buffer"], momentum)
    assert momentum.abs().sum() > 0


def test_another_architecture_is_refused_by_its_weights(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"last\.pt belongs to another architecture.*weight is \(3, 4\), not \(5, 4\)"):
        checkpoint.restore(saved, trained(5)[0])


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_damaged_checkpoint_is_refused(saved: Path, keep: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ModelError, match="no readable checkpoint") as refusal:
        checkpoint.load(saved)
    assert "weights_only" not in str(refusal.value)


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], {"format": "facekd.model"}])
def test_what_others_saved_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(ModelError, match="no checkpoint of facekd"):
        checkpoint.load(tmp_path / "last.pt")


def test_a_newer_version_is_refused(saved: Path) -> None:
    torch.save({**checkpoint.load(saved), "version": 2}, saved)
    with pytest.raises(ModelError, match="newer facekd"):
        checkpoint.load(saved)


class Malice:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_unpickled_runs(tmp_path: Path, zipped: bool) -> None:
    trap = tmp_path / "trap"
    content = {"format": "facekd.checkpoint", "version": 1, "position": Malice(trap)}
    if zipped:
        torch.save(content, tmp_path / "last.pt")
    else:
        (tmp_path / "last.pt").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ModelError) as refusal:
        checkpoint.load(tmp_path / "last.pt")
    assert not trap.exists()
    assert "weights_only" not in str(refusal.value)


def test_a_full_disk_leaves_the_checkpoint_before(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, write_bytes = saved.read_bytes(), Path.write_bytes

    def half(path: Path, data: bytes) -> int:
        write_bytes(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(SetupError, match="disk is full"):
        checkpoint.save(saved, Position(2, 0, 0), trained()[0])
    assert saved.read_bytes() == before
    assert checkpoint.restore(saved, trained()[0])[0] == POSITION
    assert [file.name for file in saved.parent.iterdir()] == ["last.pt"]
