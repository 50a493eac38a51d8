"""What a compression starts from: the model, its route, and whether it can become a smaller network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facekd.api.prune import load_network
from facekd.errors import ModelError
from facekd.models.graph.trace import graph_from_network
from facekd.models.input_format import InputOptions
from facekd.models.loading import load
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.run import Run
from facekd.text import path_text


@dataclass(frozen=True)
class Teacher:
    """A teacher as the user gives it.

    Attributes:
        model: the ``.onnx`` file, or the run folder.
        given_options: what the user stated about an ONNX file.
        options: how the ONNX file is fed, complete, so that the steps after the import do not conclude it again.
        size: side of its input in pixels.
        dimension: length of its embeddings.
        fingerprint: the checksum of the model.
        has_route: whether the run recorded a route of several points.
        problem: why its graph cannot become a smaller network; empty if it can.
    """

    model: Path
    given_options: InputOptions
    options: InputOptions
    size: int
    dimension: int
    fingerprint: str
    has_route: bool
    problem: str

    @property
    def model_file(self) -> Path:
        """The file of the model."""
        return Run(self.model).model if self.model.is_dir() else self.model


def open_teacher(path: Path, options: InputOptions, device: str) -> Teacher:
    """Load a teacher once and return what can be done with it.

    Args:
        path: an ``.onnx`` file, a run folder, or a folder of InsightFace's models.
        options: how an ONNX file is fed.
        device: the device on which it is tried.

    Raises:
        ModelError: the model cannot be loaded, or is a single ``.safetensors`` file.
    """
    if path.suffix == ".safetensors":
        raise ModelError(f"{path_text(path)} is a file of facekd without its run; give the run folder, or an .onnx")
    run = Run(path)
    is_run = (path / "run.json").is_file()
    embedder = load(path, device, **options)
    model, complete = path, options
    if isinstance(embedder, OnnxEmbedder):
        fed = embedder.input_format
        model, complete = embedder.path, {**options, "pixels": fed.pixels, "channels": fed.channels}
    has_route = is_run and (run.route / "route.json").is_file()
    try:
        graph_from_network(load_network(run.model if is_run else model, **complete))
        problem = ""
    except ModelError as error:
        problem = str(error)
    return Teacher(model, options, complete, embedder.size, embedder.dimension, embedder.fingerprint, has_route,
                   problem)
