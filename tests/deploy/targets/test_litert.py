from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.deploy.source import ExportFormat, ExportSource, prepare_source
from facekd.deploy.targets.base import ConvertedFiles
from facekd.deploy.targets.litert import LiteRTTarget
from facekd.errors import ExportError
from facekd.models.registry import Network

pytest.importorskip("litert_torch", reason="pip install 'facekd[litert]'")
from ai_edge_litert.interpreter import Interpreter

TARGET = LiteRTTarget()


@pytest.fixture(scope="module")
def source(tiny_network: Network) -> ExportSource:
    return prepare_source(tiny_network, ExportFormat(), "student")


@pytest.fixture(scope="module")
def converted(source: ExportSource, tmp_path_factory: pytest.TempPathFactory) -> ConvertedFiles:
    return TARGET.convert(source, "fp32", tmp_path_factory.mktemp("tflite"))


def test_threads_reach_the_interpreter(
    converted: ConvertedFiles, source: ExportSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[int] = []

    def record(path: str, num_threads: int) -> Interpreter:
        recorded.append(num_threads)
        return Interpreter(path, num_threads=num_threads)

    monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter", record)
    TARGET.open(converted.files, source.io_spec, threads=2)
    assert recorded == [2]


def test_crops_of_another_size_are_refused(converted: ConvertedFiles, source: ExportSource) -> None:
    crops: NDArray[np.uint8] = np.zeros((2, 64, 64, 3), np.uint8)
    with pytest.raises(ExportError, match=r"fails on a crop of \[64, 64, 3\]"):
        TARGET.open(converted.files, source.io_spec).forward(crops)
