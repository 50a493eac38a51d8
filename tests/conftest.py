"""Fixtures that the tests of several packages use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from facekd.api.train import train
from facekd.cli import main as cli
from facekd.data import cv2
from facekd.data.synthetic.dataset import write_faces
from facekd.io import files

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real faces: ``$FACEKD_DATA`` or ``../shared/data`` next to the checkout.

    If it is absent, the test is skipped.
    """
    folder = Path(os.environ.get("FACEKD_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "faces" / "train" / "train.rec").is_file():
        pytest.skip(f"real faces are absent ({folder}); set FACEKD_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The committed synthetic faces: one small set in each format."""
    return ROOT / "tests" / "fixtures"


TINY_TEACHER = (
    "model.name=iresnet10", "model.options={width: 0.25}", "model.size=32", "model.embedding=16", "head.scale=16",
    "training.batch_size=4", "training.epochs=3", "training.learning_rate=0.02", "training.lr_schedule=step",
    "training.milestones=[0.5, 0.8]", "machine.device=cpu", "machine.threads=1",
)
"""A teacher of 36 steps, 12 an epoch, whose rate drops at steps 18 and 29."""


@pytest.fixture(scope="session")
def small_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic faces: 8 identities with 6 crops each, 32 px."""
    folder = tmp_path_factory.mktemp("small_faces")
    write_faces(folder, range(8), 6, size=32)
    return folder


@pytest.fixture(scope="session")
def tiny_teacher_overrides() -> tuple[str, ...]:
    """The overrides of the recipe behind `teacher_run`."""
    return TINY_TEACHER


@pytest.fixture(scope="session")
def teacher_run(small_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run of a tiny teacher with its route; tests must not change it."""
    return train(small_faces, tmp_path_factory.mktemp("taught") / "run", *TINY_TEACHER)


@pytest.fixture(scope="session")
def small_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class set in the folders of ImageNet: noise around 4 colors, 10 PNGs each in train and 3 in val, 32 px."""
    folder, rng = tmp_path_factory.mktemp("small_classes"), np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 3)):
        for label, color in enumerate(rng.integers(60, 196, (4, 3))):
            for number in range(count):
                image = np.clip(rng.normal(color, 40, (32, 32, 3)), 0, 255).astype(np.uint8)
                data = cv2.imencode(".png", image)[1].tobytes()
                files.write_bytes(folder / split / f"n{label}" / f"{number}.png", data)
    return folder


class Killed(Exception):
    """Ends a training in place of a kill."""


@pytest.fixture
def kill_at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager[None]]:
    """``with kill_at_step(7): train()`` ends a training within the seventh optimizer step from now on."""

    @contextmanager
    def kill(step: int) -> Iterator[None]:
        original, steps = torch.optim.SGD.step, 0

        def fail_at_step(self: torch.optim.SGD, *arguments: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == step:
                raise Killed
            return original(self, *arguments)

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(torch.optim.SGD, "step", fail_at_step)
            yield

    return kill


@pytest.fixture(scope="session")
def torchrun() -> Callable[..., subprocess.CompletedProcess[str]]:
    """``torchrun(2, MODULE, *arguments)`` runs ``python -m MODULE`` in two processes and returns the result.

    The processes have the import path of the test. The test fails if they fail, unless ``check=False``.
    """

    def run(count: int, module: str, *arguments: object, check: bool = True, options: Sequence[str] = ()
            ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", *options,
                   "-m", module, *map(str, arguments)]
        completed = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=300)
        assert not check or completed.returncode == 0, completed.stderr
        return completed

    return run


@pytest.fixture
def run_cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``run_cli("eval", "verify", ...)`` runs the command line in this process and returns its exit status."""

    def run(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["facekd", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    return run


def _write_scrfd(path: Path, points: Any = ((0, 0),) * 5, size: int | None = None,
                 values: tuple[int, ...] = (1, 4, 10), anchors: int = 2) -> Path:
    """Write an ONNX file with the outputs of SCRFD that detects a face wherever a whole cell of 8 pixels is red.

    Args:
        path: the file.
        points: [5, 2], the landmarks of each face relative to its cell, in strides.
        size: side of the input images; None for any size.
        values: number of values in each kind of output (score, box, landmarks).
        anchors: number of anchors in a cell.
    """
    nodes, weights, outputs = [], [], []
    for kind, count in enumerate(values):
        for stride in (8, 16, 32):
            name = f"{kind}_{stride}"
            kernel, bias = np.zeros((anchors, count, 3, 1, 1), np.float32), np.zeros((anchors, count), np.float32)
            if count == 1:
                kernel[:, :, 0] = 1
            else:
                bias[:] = 6 if count == 4 else np.ravel(points)[:count]
            weights += [numpy_helper.from_array(kernel.reshape(-1, 3, 1, 1), f"weight_{name}"),
                        numpy_helper.from_array(bias.ravel(), f"bias_{name}"),
                        numpy_helper.from_array(np.array([-1, count]), f"shape_{name}")]
            nodes += [
                helper.make_node("AveragePool", ["image"], [f"cells_{name}"], kernel_shape=[stride] * 2,
                                 strides=[stride] * 2),
                helper.make_node("Conv", [f"cells_{name}", f"weight_{name}", f"bias_{name}"], [f"map_{name}"]),
                helper.make_node("Transpose", [f"map_{name}"], [f"last_{name}"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"last_{name}", f"shape_{name}"], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"n_{name}", count]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size or "height", size or "width"])
    graph = helper.make_graph(nodes, "scrfd", [image], outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


@pytest.fixture(scope="session")
def write_scrfd() -> Callable[..., Path]:
    """``write_scrfd(path)`` writes a detector, see `_write_scrfd`."""
    return _write_scrfd
