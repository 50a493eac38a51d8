"""Checkpoints: written and read bit for bit; damaged and foreign files are refused, and nothing in them runs."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from facekd.errors import ModelError, SetupError
from facekd.training import checkpoint
from facekd.training.checkpoint import Position

POSITION = Position(1, 5, 17)
EMPTY: dict[str, dict[str, Any]] = {"optimizer": {}, "scaler": {}, "ema": {}}


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
    return checkpoint.save(tmp_path, POSITION, network.state_dict(), optimizer=optimizer.state_dict(),
                           scaler={"scale": 8.0}, ema={})


def test_everything_comes_back(saved: Path) -> None:
    network, optimizer = trained()
    next_random = torch.rand(3)
    other = nn.Linear(4, 3)
    restored = checkpoint.restore(saved.parent, other)
    assert restored
    position, states = restored
    assert (position, set(states), states["scaler"]) == (POSITION, {"optimizer", "scaler", "ema"}, {"scale": 8.0})
    assert torch.equal(other.weight, network.weight)
    assert torch.equal(torch.rand(3), next_random)
    fresh = torch.optim.SGD(other.parameters(), lr=1.0, momentum=0.9)
    fresh.load_state_dict(states["optimizer"])
    momentum = optimizer.state_dict()["state"][0]["momentum_buffer"]
    assert torch.equal(fresh.state_dict()["state"][0]["momentum_buffer"], momentum)
    assert momentum.abs().sum() > 0


def test_another_architecture_is_refused_by_its_weights(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"\.pt belongs to another architecture.*weight is \(3, 4\), not \(5, 4\)"):
        checkpoint.restore(saved.parent, trained(5)[0])


def truncate(file: Path, keep: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content))])


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_damaged_checkpoint_is_refused(saved: Path, keep: float) -> None:
    truncate(saved, keep)
    with pytest.raises(ModelError, match="is damaged"):
        checkpoint.load(saved)


def test_a_single_bit_is_noticed(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[len(content) // 2] ^= 1
    saved.write_bytes(content)
    with pytest.raises(ModelError, match="its checksum differs"):
        checkpoint.load(saved)


def test_a_compressed_checkpoint_is_refused_before_it_unfolds(tmp_path: Path, saved: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:16]
    packed = tmp_path / f"step-00000099-{digest}.pt"
    packed.write_bytes(buffer.getvalue())
    with pytest.raises(ModelError, match=r"is no readable checkpoint \(ValueError\)"):
        checkpoint.load(packed)


def test_where_the_newest_is_damaged_the_one_before_is_continued_from_loudly(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, _ = trained()
    truncate(checkpoint.save(saved.parent, Position(2, 0, 20), {}, **EMPTY), 0.5)
    restored = checkpoint.restore(saved.parent, network)
    assert restored and restored[0] == POSITION
    note = capsys.readouterr().err
    assert "step-00000020" in note and "is damaged" in note and f"continuing from {saved.name}, after step 17" in note


def test_where_all_are_damaged_nothing_is_trained_anew_in_silence(saved: Path) -> None:
    truncate(checkpoint.save(saved.parent, Position(2, 0, 20), {}, **EMPTY), 0.5)
    truncate(saved, 0.5)
    with pytest.raises(ModelError, match=r"step-00000020.*step-00000017.*None is left; delete .* to train from"):
        checkpoint.load_newest(saved.parent)


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept(tmp_path: Path, keep: int) -> None:
    for step in (1, 2, 10, 100):
        checkpoint.save(tmp_path, Position(0, step, step), {}, keep, **EMPTY)
    steps = [int(file.name[5:13]) for file in checkpoint.list_checkpoints(tmp_path)]
    assert steps == [1, 2, 10, 100][-keep:]


def write_named(folder: Path, content: bytes) -> Path:
    """Write a file under the name that a checkpoint of this content would have."""
    path = folder / f"step-00000001-{hashlib.sha256(content).hexdigest()[:16]}.pt"
    path.write_bytes(content)
    return path


def saved_by_torch(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], {"format": "facekd.model"}])
def test_what_others_saved_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ModelError, match="no checkpoint of facekd"):
        checkpoint.load(write_named(tmp_path, saved_by_torch(content)))


def test_a_newer_version_is_refused(saved: Path) -> None:
    newer = {**checkpoint.load(saved), "version": checkpoint.VERSION + 1}
    with pytest.raises(ModelError, match="newer facekd"):
        checkpoint.load(write_named(saved.parent, saved_by_torch(newer)))


def test_an_older_version_is_refused(saved: Path) -> None:
    older = {**checkpoint.load(saved), "version": checkpoint.VERSION - 1}
    with pytest.raises(ModelError, match=r"older facekd \(version 2\); train again"):
        checkpoint.load(write_named(saved.parent, saved_by_torch(older)))


@pytest.mark.parametrize(("part", "value", "message"), [
    ("version", None, "it has no version"), ("version", "3", "it has no version"),
    ("position", [1, 2], "a part is missing"), ("position", [1, 2, "3"], "a part is missing"),
    ("method", None, "a part is missing"), ("optimizer", [], "a part is missing"), ("rng", None, "a part is missing"),
])
def test_a_part_that_is_missing_or_of_another_kind_is_named(
    saved: Path, part: str, value: object, message: str
) -> None:
    damaged = {**checkpoint.load(saved), part: value}
    with pytest.raises(ModelError, match=rf"\.pt is damaged \({message}"):
        checkpoint.load(write_named(saved.parent, saved_by_torch(damaged)))


def test_a_state_of_the_random_numbers_that_is_none_is_named(saved: Path) -> None:
    damaged = {**checkpoint.load(saved), "rng": torch.zeros(3), "position": [1, 1, 99]}
    content = saved_by_torch(damaged)
    write_named(saved.parent, content).rename(saved.with_name(write_named(saved.parent, content).name.replace(
        "00000001", "00000099")))
    with pytest.raises(ModelError, match=r"step-00000099-\w+\.pt cannot be read .*delete it; the one before is taken"):
        checkpoint.restore(saved.parent, trained()[0])


def test_other_files_in_the_folder_are_no_checkpoints(saved: Path) -> None:
    (saved.parent / "last.pt").touch()
    assert checkpoint.list_checkpoints(saved.parent) == [saved]
    assert checkpoint.load_newest(saved.parent / "empty") is None


class Malice:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_unpickled_runs(tmp_path: Path, zipped: bool) -> None:
    trap = tmp_path / "trap"
    content = {"format": "facekd.checkpoint", "version": checkpoint.VERSION, "position": Malice(trap)}
    path = write_named(tmp_path, saved_by_torch(content) if zipped else pickle.dumps(content, protocol=2))
    with pytest.raises(ModelError) as refusal:
        checkpoint.load(path)
    assert not trap.exists()
    assert "weights_only" not in str(refusal.value)


def test_a_full_disk_leaves_the_checkpoint_before(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, write_bytes = saved.read_bytes(), Path.write_bytes

    def half(path: Path, data: bytes) -> int:
        write_bytes(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(SetupError, match="disk is full"):
        checkpoint.save(saved.parent, Position(2, 0, 20), trained()[0].state_dict(), keep=1, **EMPTY)
    assert saved.read_bytes() == before
    restored = checkpoint.restore(saved.parent, trained()[0])
    assert restored and restored[0] == POSITION
    assert list(saved.parent.iterdir()) == [saved]
