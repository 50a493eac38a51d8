"""A foreign ONNX recognizer as a network of ours, with equal outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from typing_extensions import Unpack

from facekd.errors import ModelError
from facekd.io.onnx_file import external_weights, read_model
from facekd.io.reading import reading
from facekd.models.graph.description import dump_graph
from facekd.models.graph.input_scaling import InputScaling
from facekd.models.graph.onnx_operators import read_operator
from facekd.models.graph.onnx_reader import GraphReader
from facekd.models.input_format import InputOptions
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network, create
from facekd.text import path_text

TOLERANCE = 1e-5
"""The largest difference between the outputs of file and network, as a share of the length of the output."""


def network_from_onnx(path: Path, **options: Unpack[InputOptions]) -> Network:
    """Convert an ONNX file of convolutions and the like to a network with the same weights, and compare their outputs.

    Batch normalizations, PReLUs and sums keep their form. The scaling of pixels, inside of the graph or outside, and an
    input in BGR become a part of the first convolution, because our networks take RGB pixels from -1 to 1.

    Args:
        path: the file of a recognizer.
        options: what the user states about the file, see `InputOptions`.

    Returns:
        The network in evaluation mode, of the architecture ``graph``.

    Raises:
        ModelError: the file is no face model, an operator cannot be converted (the message names it), or the outputs
            differ.
    """
    embedder = OnnxEmbedder(path, batch_size=2, as_written=True, **options)
    model = read_model(path)
    if external_weights(path, model):
        raise ModelError(f"{path_text(path)} keeps its weights in other files; save it as one: "
                         "onnx.save(onnx.load(...), ...)")
    with reading(path, ModelError, kind="a graph of convolutions", remedy="use the file as a teacher only"):
        reader = GraphReader(model.graph, path, InputScaling(embedder.input_format, path))
        for node in model.graph.node:
            read_operator(reader, node)
        nodes, weights = reader.finish(embedder.interface.output)
        network = create("graph", size=embedder.size, outputs=embedder.dimension, nodes=dump_graph(nodes))
        state = network.state_dict()
        with torch.no_grad():
            for name, value in weights.items():
                state[f"layers.{name}"].copy_(torch.tensor(value).reshape(state[f"layers.{name}"].shape))
    _check_equal(network.eval(), embedder)
    return network


@torch.no_grad()
def _check_equal(network: Network, embedder: OnnxEmbedder) -> None:
    """Compare the outputs for two images of noise."""
    size = network.spec.size
    crops = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    network_output = network(network.preprocess(torch.from_numpy(crops))).numpy()
    file_output = embedder.forward(crops)
    difference = np.linalg.norm(network_output - file_output) / np.linalg.norm(file_output)
    if not difference <= TOLERANCE:
        raise ModelError(f"{path_text(embedder.path)}: the converted network differs from the file by {difference:.1g} "
                         f"of the output's length, at most {TOLERANCE:g} is allowed; use the file as a teacher only")
