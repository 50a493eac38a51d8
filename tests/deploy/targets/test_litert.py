from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.deploy.source import Form, Source, freeze
from facekd.deploy.targets.base import Made
from facekd.deploy.targets.litert import LiteRTTarget
from facekd.errors import ExportError
from facekd.models.registry import Network

pytest.importorskip("litert_torch", reason="pip install 'facekd[litert]'")
from ai_edge_litert.interpreter import Interpreter

TARGET = LiteRTTarget()


@pytest.fixture(scope="module")
def source(tiny: Network) -> Source:
    return freeze(tiny, Form(), "student")


@pytest.fixture(scope="module")
def made(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return TARGET.convert(source, "fp32", tmp_path_factory.mktemp("tflite"))


def test_threads_reach_the_interpreter(made: Made, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def watched(path: str, num_threads: int) -> Interpreter:
        asked.append(num_threads)
        return Interpreter(path, num_threads=num_threads)

    monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter", watched)
    TARGET.open(made.files, source.interface, threads=2)
    assert asked == [2]


def test_crops_of_another_size_are_refused(made: Made, source: Source) -> None:
    crops: NDArray[np.uint8] = np.zeros((2, 64, 64, 3), np.uint8)
    with pytest.raises(ExportError, match=r"fails on a crop of \[64, 64, 3\]"):
        TARGET.open(made.files, source.interface).forward(crops)
