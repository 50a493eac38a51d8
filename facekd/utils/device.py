"""The device that a user names."""

from __future__ import annotations

import torch

from facekd.errors import SetupError
from facekd.text import shorten


def resolve_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` is CUDA, else Apple's MPS, else the CPU.

    Raises:
        SetupError: the device does not exist on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = shorten(str(error).splitlines()[0])
        raise SetupError(
            f"the device '{name}' cannot be used here ({reason}); use machine.device=auto or cpu"
        ) from error
    return device
