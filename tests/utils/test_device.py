from __future__ import annotations

import pytest
import torch

from facekd.errors import SetupError
from facekd.utils.device import resolve_device


def test_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "banana"])
def test_an_absent_device_is_refused(name: str) -> None:
    with pytest.raises(SetupError, match=rf"'{name}' cannot be used.*machine\.device=auto"):
        resolve_device(name)


def test_auto_finds_what_torch_has() -> None:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    assert resolve_device("auto").type == next(name for name, present in available.items() if present)
