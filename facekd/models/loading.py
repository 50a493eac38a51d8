"""Loading of any model from a path, behind one interface."""

from __future__ import annotations

from pathlib import Path

import torch
from typing_extensions import Unpack

from facekd.errors import ModelError
from facekd.models.embedder import Embedder
from facekd.models.input_format import InputOptions, refuse_options
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.torch_embedder import TorchEmbedder
from facekd.models.weights import load_model
from facekd.text import path_text
from facekd.utils.console import notify


def load(path: Path | str, device: torch.device | str = "cpu", **options: Unpack[InputOptions]) -> Embedder:
    """Load a model for inference; a call with aligned crops or image paths gives unit-length embeddings.

    How an ONNX file is fed follows from its graph where that tells it (see `facekd.models.onnx_interface`); a note on
    the standard error says so where InsightFace would feed it in another way.

    Args:
        path: a run folder of train or distill, a ``.safetensors`` file or route point of facekd, a package folder
            written by export, or an ``.onnx`` file of a face model.
        device: the device for torch networks; ONNX files run on the CPU.
        options: for an ``.onnx`` file from elsewhere: ``pixels``, ``channels``, ``size`` and ``output``, see
            `InputOptions`.

    Raises:
        ModelError: the path does not exist or is not a model, or an option has no effect or cannot be used.
    """
    path = Path(path)
    if (path / "metadata.json").is_file():
        refuse_options(options, f"{path_text(path)} is a package of facekd, which knows how it is fed; leave it out")
    file = _model_file(path) if path.is_dir() else path
    if not file.is_file():
        raise ModelError(f"{path_text(file)} does not exist; check the path")
    if file.suffix == ".onnx":
        embedder = OnnxEmbedder(file, **options)
        for note in embedder.notes:
            notify(note)
        return embedder
    if file.suffix == ".safetensors":
        refuse_options(options, f"{path_text(path)} is a network of facekd, which knows how it is fed; leave it out")
        return TorchEmbedder(load_model(file), path.stem, device)
    raise ModelError(
        f"{path_text(file)} is no model; give a run folder, a .safetensors file of facekd, a package folder or an .onnx"
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
