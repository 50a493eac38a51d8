from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch

from facekd.errors import ModelError, RouteError
from facekd.models.registry import create
from facekd.route.external_checkpoint import load_checkpoint


def load(file: Path, outputs: int | None = None) -> torch.nn.Module:
    return load_checkpoint(file, "iresnet18", 32, outputs, "unit", {"width": 0.125})


def test_weights_are_found_below_the_keys_of_trainers(tmp_path: Path) -> None:
    network = create("iresnet18", size=32, outputs=8, width=0.125)
    weights = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "a.pt")
    loaded = load(tmp_path / "a.pt").state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in network.state_dict().items())


def test_a_compressed_record_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    stored, deflated = tmp_path / "stored.pt", tmp_path / "deflated.pt"
    torch.save({"features.weight": torch.zeros(16 << 20)}, stored)
    with zipfile.ZipFile(stored) as source, zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    assert deflated.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(RouteError, match=r"deflated\.pt has .* bytes and unfolds to 67,"):
        load(deflated)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_a_compressed_record_is_refused_however_small(tmp_path: Path) -> None:
    torch.save({"features.weight": torch.zeros(8, 3)}, tmp_path / "stored.pt")
    deflated = zipfile.ZipFile(tmp_path / "deflated.pt", "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(tmp_path / "stored.pt") as source, deflated:
        for entry in source.infolist():
            deflated.writestr(entry.filename, source.read(entry))
    with pytest.raises(RouteError, match="torch compresses nothing; save it again"):
        load(tmp_path / "deflated.pt")


def test_a_tensor_that_repeats_its_memory_is_refused_before_a_network_is_made(tmp_path: Path) -> None:
    torch.save({"features.weight": torch.zeros(1).expand(10**9, 10**3)}, tmp_path / "a.pt")
    with pytest.raises(RouteError, match="too many for a checkpoint"):
        load(tmp_path / "a.pt")


def test_foreign_names_are_told_from_a_missing_number(tmp_path: Path) -> None:
    torch.save({"head.weight": torch.zeros(8, 3)}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"none of its weights is features\.weight, .* give --outputs NUMBER"):
        load(tmp_path / "a.pt")
    with pytest.raises(ModelError, match="belongs to another architecture"):
        load(tmp_path / "a.pt", outputs=8)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(40), b"PK\x05\x06" + bytes(18), b"\x80\x04N."])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(RouteError, match=r"a\.pt (is no readable PyTorch checkpoint|holds no state dict)"):
        load(tmp_path / "a.pt")
