"""Loading of any model from a path, behind one interface."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import Unpack

from facekd.distributed import local_device
from facekd.errors import ModelError
from facekd.io.insightface_pack import find_graphs, find_recognizer
from facekd.models.embedder import Embedder
from facekd.models.input_format import InputOptions, refuse_options
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.torch_embedder import TorchEmbedder
from facekd.models.weights import load_model
from facekd.text import path_text
from facekd.utils.console import notify
from facekd.utils.device import resolve_device


def load(path: Path | str, device: str = "cpu", **options: Unpack[InputOptions]) -> Embedder:
    """Load a model for inference; a call with aligned crops or image paths gives unit-length embeddings.

    How an ONNX file is fed follows from its graph where that tells it (see `facekd.models.onnx_interface`); a note on
    the standard error says so where InsightFace would feed it in another way.

    Args:
        path: a run folder of train or distill, a ``.safetensors`` file or route point of facekd, a package folder
            written by export, an ``.onnx`` file of a face model, or a folder of several, such as a model pack of
            InsightFace, of which exactly one is a recognizer (`facekd.io.insightface_pack`).
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; ``auto`` is the best one there is, for an ONNX file the best
            one of the installed ONNX Runtime.
        options: for an ``.onnx`` file from elsewhere: ``pixels``, ``channels``, ``size`` and ``output``, see
            `InputOptions`.

    Raises:
        ModelError: the path does not exist or is not a model, or an option has no effect or cannot be used.
        SetupError: the device cannot be used here, or not by the installed ONNX Runtime.
    """
    path = Path(path)
    if (path / "metadata.json").is_file():
        refuse_options(options, f"{path_text(path)} is a package of facekd, which knows how it is fed; leave it out")
    file = _model_file(path) if path.is_dir() else path
    if not file.is_file():
        raise ModelError(f"{path_text(file)} does not exist; check the path")
    if file.suffix == ".onnx":
        embedder = OnnxEmbedder(file, device=device, **options)
        for note in embedder.notes:
            notify(note)
        return embedder
    if file.suffix == ".safetensors":
        refuse_options(options, f"{path_text(path)} is a network of facekd, which knows how it is fed; leave it out")
        return TorchEmbedder(load_model(file), path.stem, local_device(resolve_device(device)))
    raise ModelError(
        f"{path_text(file)} is no model; give a run folder, a .safetensors file of facekd, a package folder, an .onnx "
        "or a model pack of InsightFace"
    )


def _model_file(folder: Path) -> Path:
    """Return the model file of a run, package or pack: ``model.safetensors``, or an ONNX file of full precision."""
    run_model = folder / "model.safetensors"
    if run_model.is_file():
        return run_model
    graphs = find_graphs(folder)
    if len(graphs) == 1:
        return graphs[0]
    if (folder / "run.json").is_file():
        raise ModelError(f"{folder} is a run that has not finished; run the same command again, it continues")
    if not graphs:
        raise ModelError(f"{path_text(folder)} holds no model: no model.safetensors and no .onnx file; check the path")
    return find_recognizer(folder)
