"""The environment of a run, for ``run.json`` and result files: versions, git revision, hardware and command line."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("facekd", "torch", "numpy", "opencv-python", "onnxruntime")
"""The packages whose versions are recorded."""


def environment() -> dict[str, Any]:
    """Return the versions, git revision, hardware and command line of this process, as JSON values."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "git": git_revision(),
        "hardware": hardware(),
        "command_line": shlex.join([Path(sys.argv[0]).name.replace("__main__.py", "facekd"), *sys.argv[1:]]),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_revision() -> str | None:
    """Return the revision of the checkout that this package is run from; None outside of a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware() -> dict[str, Any]:
    """Return the processor, the cores and the graphics cards of this machine.

    Its ``label`` is a short text for file names, for example ``cpu2`` or ``h200x1``.
    """
    import torch  # slow to import

    cores = usable_cores()
    cards = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    label = f"cpu{cores}"
    if cards:
        label = f"{cards[0].lower().replace('nvidia', '').strip().replace(' ', '-')}x{len(cards)}"
    return {"label": label, "processor": _processor(), "cores": cores, "cards": cards}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
