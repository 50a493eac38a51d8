"""Inputs of the commands that write, places that cannot be written, and processes with faults."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from facekd.api.deploy.export import export
from facekd.api.plan import plan
from facekd.data.synthetic.dataset import write_faces, write_pairs
from facekd.models.registry import create
from tests.faults.verbs import Inputs

LANDMARKS = ((-4, -4), (4, -3), (0, 1), (-3, 5), (3, 6))
"""Eyes, nose and corners of the mouth relative to the position of a detection, in strides of 8 pixels."""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def inputs(small_faces: Path, teacher_run: Path, write_scrfd: Callable[..., Path],
           tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """What the commands read; tests must not change it."""
    folder = tmp_path_factory.mktemp("inputs")
    names = ("distractors", "gallery", "pairs.csv", "teacher", "classifier", "plan.json", "detector.onnx",
             "weights.safetensors", "package")
    inputs = Inputs(small_faces, *(folder / name for name in names))
    (folder / "teacher").symlink_to(teacher_run)
    write_faces(inputs.distractors, range(100, 115), 1, size=32)
    write_faces(inputs.gallery, range(4, 12), 3, size=32)
    write_pairs(small_faces, range(8), 6, 8, 2, inputs.pairs)
    plan(teacher_run, inputs.plan, anchors=2)
    write_scrfd(inputs.detector, LANDMARKS)
    torch.manual_seed(0)
    save_file(create("mobilefacenet", size=32, outputs=16).state_dict(), inputs.checkpoint)
    export(teacher_run, inputs.package, precisions=("fp32",))
    return inputs


@pytest.fixture(scope="session")
def start() -> Start:
    """``start(ARGUMENT, ...)`` starts ``facekd``; with ``fault=("die", 2)`` with a fault of `tests.faults.command`."""

    def run(*arguments: object, fault: tuple[str, float] | None = None) -> subprocess.Popen[str]:
        module = ["facekd"] if fault is None else ["tests.faults.command", *map(str, fault)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen([sys.executable, "-m", *module, *map(str, arguments)], env=environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return run


def mount(folder: Path, options: str) -> bool:
    """Mount a small disk; return whether it could be done (only root may)."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    return sys.platform == "linux" and not subprocess.run(command, check=False, capture_output=True).returncode


@pytest.fixture(scope="session")
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system that is read-only."""
    folder = tmp_path_factory.mktemp("read_only")
    if not mount(folder, "size=1m,ro"):
        pytest.skip("only root can mount a read-only file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk without free space."""
    folder = tmp_path_factory.mktemp("full")
    if not mount(folder, "size=64k"):
        pytest.skip("only root can mount a small disk")
    with (folder / "filling").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
