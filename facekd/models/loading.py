"""Loading of any model from a path, behind one interface."""

from __future__ import annotations

from pathlib import Path

import torch

from facekd.errors import ModelError
from facekd.models.embedder import Embedder
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.torch_embedder import TorchEmbedder
from facekd.models.weights import load_model


def load(path: Path | str, device: torch.device | str = "cpu") -> Embedder:
    """Load a model for inference; a call with aligned crops or image paths gives unit-length embeddings.

    Args:
        path: a run folder of train or distill, a ``.safetensors`` file or route point of facekd, a package folder
            written by export, or any InsightFace-compatible ``.onnx`` file.
        device: the device for torch networks; ONNX files run on the CPU.

    Raises:
        ModelError: the path does not exist or is not a model.
    """
    path = Path(path)
    file = _model_file(path) if path.is_dir() else path
    if not file.is_file():
        raise ModelError(f"{file} does not exist; check the path")
    if file.suffix == ".onnx":
        return OnnxEmbedder(file)
    if file.suffix == ".safetensors":
        return TorchEmbedder(load_model(file), path.stem, device)
    raise ModelError(
        f"{file} is no model; give a run folder, a .safetensors file of facekd, a package folder or an .onnx"
    )


def _model_file(folder: Path) -> Path:
    """Return the model file of a run or package: ``model.safetensors``, or the only ONNX file of full precision."""
    run_model = folder / "model.safetensors"
    if run_model.is_file():
        return run_model
    graphs = [g for g in sorted(folder.glob("*.onnx")) if not g.stem.endswith((".fp16", ".int8"))]
    if len(graphs) == 1:
        return graphs[0]
    if (folder / "run.json").is_file():
        raise ModelError(f"{folder} is a run that has not finished; run the same command again, it continues")
    raise ModelError(f"{folder} holds no model.safetensors and {len(graphs)} .onnx files; name the file")
