"""Sessions of ONNX Runtime on the device that the user names, or on the one that is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import onnxruntime as ort

from facekd.errors import SetupError
from facekd.text import shorten

CPU_PROVIDER = "CPUExecutionProvider"
PROVIDERS = {"cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider"}
"""The execution provider of a type of device; other devices are left to the CPU."""
Providers = list[tuple[str, dict[str, str]]]


def choose_providers(device: str) -> Providers:
    """Return the execution providers for a device with their options, in the order in which they are tried.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; ``auto`` is CUDA or CoreML if the installed ONNX Runtime has
            it, else the CPU. CUDA without a number is the card of this process's local rank.

    Raises:
        SetupError: the installed ONNX Runtime has no provider for the device.
    """
    kind, _, number = device.partition(":")
    available = ort.get_available_providers()
    if kind == "auto":
        chosen = [provider for provider in PROVIDERS.values() if provider in available]
    else:
        chosen = [PROVIDERS[kind]] if kind in PROVIDERS else []
    if not set(chosen) <= set(available):
        raise SetupError(f"the installed ONNX Runtime {ort.__version__} does not run on {shorten(device)}, it has no "
                         f"{PROVIDERS[kind]}; {_REMEDIES[kind]}, or give --device cpu")
    return [*((provider, _provider_options(provider, number)) for provider in chosen), (CPU_PROVIDER, {})]


_REMEDIES = {"cuda": "install the build for CUDA in its place: pip uninstall -y onnxruntime && "
                     "pip install onnxruntime-gpu",
             "mps": "use a build of onnxruntime for macOS"}


def _provider_options(provider: str, number: str) -> dict[str, str]:
    if provider != PROVIDERS["cuda"]:
        return {}
    # TF32, the default, keeps 10 bits of the factors: caches and evaluations are to be float32 as on a CPU.
    return {"device_id": number or os.environ.get("LOCAL_RANK", "0"), "use_tf32": "0"}


def open_session(model: Path | bytes, device: str = "cpu", threads: int | None = None, *, optimize: bool = True
                 ) -> ort.InferenceSession:
    """Open a graph; errors of ONNX Runtime about the graph pass through.

    No library of custom operators is ever loaded, so that a file cannot bring code of its own.

    Args:
        model: the file, or a serialized model.
        device: see `choose_providers`.
        threads: number of threads inside one operator; by default ONNX Runtime's choice.
        optimize: whether the graph is optimized, which takes time; without it the graph is checked alike.

    Raises:
        SetupError: the device cannot be used.
    """
    providers = choose_providers(device)
    reason = "its libraries or the driver are absent or of another version"
    try:
        session = _open(model, providers, threads, optimize)
    except Exception as error:  # of ONNX Runtime, without a common base
        if len(providers) == 1:
            raise
        session = _open(model, providers[-1:], threads, optimize)  # fails as well if the graph is the cause
        reason = shorten(error)
    if device != "auto" and providers[0][0] not in session.get_providers():
        raise SetupError(f"ONNX Runtime cannot use {shorten(device)} here ({reason}); install what its provider needs, "
                         "or give --device cpu")
    return session


def _open(model: Path | bytes, providers: Providers, threads: int | None, optimize: bool) -> ort.InferenceSession:
    options = ort.SessionOptions()
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # errors are raised as well
    if threads is not None:
        options.intra_op_num_threads = threads
    source: Any = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=providers, enable_fallback=0)


def runs_on_cpu(session: ort.InferenceSession) -> bool:
    """Return whether a session uses the CPU alone."""
    return bool(session.get_providers() == [CPU_PROVIDER])
