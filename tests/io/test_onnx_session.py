from __future__ import annotations

from pathlib import Path

import onnxruntime as ort
import pytest

from facekd.errors import SetupError
from facekd.io import onnx_session
from facekd.io.onnx_session import choose_providers, open_session, runs_on_cpu

CPU, CUDA, COREML = "CPUExecutionProvider", "CUDAExecutionProvider", "CoreMLExecutionProvider"


@pytest.mark.parametrize(("device", "available", "expected"), [
    ("cpu", [CUDA, CPU], [CPU]), ("auto", [CPU], [CPU]), ("auto", [CUDA, CPU], [CUDA, CPU]),
    ("auto", [COREML, CPU], [COREML, CPU]), ("cuda", [CUDA, CPU], [CUDA, CPU]), ("mps", [COREML, CPU], [COREML, CPU]),
])
def test_the_provider_follows_the_device(monkeypatch: pytest.MonkeyPatch, device: str, available: list[str],
                                         expected: list[str]) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: available)
    assert [name for name, _ in choose_providers(device)] == expected


@pytest.mark.parametrize(("device", "number"), [("cuda", "0"), ("cuda:3", "3")])
def test_cuda_takes_the_card_and_computes_in_float32(monkeypatch: pytest.MonkeyPatch, device: str, number: str) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU])
    assert choose_providers(device)[0][1] == {"device_id": number, "use_tf32": "0"}


@pytest.mark.parametrize(("device", "remedy"), [("cuda:1", "pip install onnxruntime-gpu"), ("mps", "for macOS")])
def test_a_build_without_the_provider_is_one_sentence(monkeypatch: pytest.MonkeyPatch, device: str, remedy: str
                                                      ) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CPU])
    with pytest.raises(SetupError, match=f"does not run on {device}, it has no .*{remedy}, or give --device cpu"):
        choose_providers(device)


class FakeSession:
    """Fails to start CUDA, or starts the CPU in its place, as ONNX Runtime does."""

    raises = True

    def __init__(self, source: str, options: ort.SessionOptions, providers: list[tuple[str, dict[str, str]]],
                 enable_fallback: int) -> None:
        if self.raises and len(providers) > 1:
            raise RuntimeError("CUDA failure 100: no CUDA-capable device")

    def get_providers(self) -> list[str]:
        return [CPU]


@pytest.mark.parametrize("raises", [True, False])
def test_a_provider_that_does_not_start(monkeypatch: pytest.MonkeyPatch, raises: bool) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnx_session.ort, "InferenceSession", FakeSession)
    monkeypatch.setattr(FakeSession, "raises", raises)
    with pytest.raises(SetupError, match="cannot use cuda here"):
        open_session(Path("any.onnx"), "cuda")
    assert runs_on_cpu(open_session(Path("any.onnx"), "auto"))


def test_a_damaged_graph_is_not_blamed_on_the_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU])
    (tmp_path / "m.onnx").write_bytes(b"none")
    with pytest.warns(UserWarning, match="not in available"), pytest.raises(Exception, match="PROTOBUF"):
        open_session(tmp_path / "m.onnx", "cuda")
