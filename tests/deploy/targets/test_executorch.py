from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.deploy.source import ExportFormat, ExportSource, prepare_source
from facekd.deploy.targets import executorch as module
from facekd.deploy.targets.base import ConvertedFiles
from facekd.deploy.targets.executorch import ExecuTorchTarget
from facekd.errors import ExportError
from facekd.models.registry import Network

pytest.importorskip("executorch", reason="pip install 'facekd[executorch]'")

TARGET = ExecuTorchTarget()


@pytest.fixture(scope="module")
def source(tiny_network: Network) -> ExportSource:
    return prepare_source(tiny_network, ExportFormat(), "student")


@pytest.fixture(scope="module")
def converted(source: ExportSource, tmp_path_factory: pytest.TempPathFactory) -> ConvertedFiles:
    return TARGET.convert(source, "fp32", tmp_path_factory.mktemp("pte"))


def test_the_number_of_threads_is_set(converted: ConvertedFiles, source: ExportSource) -> None:
    from executorch.extension.pybindings import portable_lib

    TARGET.open(converted.files, source.io_spec, threads=2)
    assert portable_lib._threadpool_get_thread_count() == 2
    TARGET.open(converted.files, source.io_spec)
    assert portable_lib._threadpool_get_thread_count() == 1


def test_crops_of_another_size_are_refused(converted: ConvertedFiles, source: ExportSource) -> None:
    crops: NDArray[np.uint8] = np.zeros((2, 64, 64, 3), np.uint8)
    with pytest.raises(ExportError, match=r"112, 112, 3\], not \[2, 64, 64, 3\]"):
        TARGET.open(converted.files, source.io_spec).forward(crops)


def test_another_torch_is_refused(source: ExportSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.torch, "__version__", "2.14.1")
    with pytest.raises(ExportError, match=r"was built for torch 2\.13, torch 2\.14\.1 is installed"):
        TARGET.convert(source, "fp32", tmp_path)
