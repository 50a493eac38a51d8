"""A part of a teacher with the teacher's own weights, from photographs without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from typing_extensions import Unpack

from facekd.data.opening import open_faces
from facekd.data.transforms import decode_crop
from facekd.errors import DataError, ModelError
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.methods.pruning.prune import prune
from facekd.models.graph.onnx_import import network_from_onnx
from facekd.models.graph.trace import graph_from_network
from facekd.models.input_format import InputOptions, refuse_options
from facekd.models.registry import Network
from facekd.models.weights import load_model, save_model
from facekd.text import path_text

IMAGES = 384
"""Number of images on which saliencies are measured and weights are fitted."""
MIN_IMAGES = 32


def prune_teacher(teacher: Path | str, dataset: Path | str, out: Path | str, share: float = 1.0, *,
                  weight_share: float = 1.0, images: int = IMAGES, seed: int = 0,
                  **options: Unpack[InputOptions]) -> Network:
    """Write a part of a teacher as a model of facekd; ``student.weights`` of ``facekd distill`` trains it further.

    Args:
        teacher: a ``.safetensors`` file of facekd, or an ONNX recognizer of convolutions and the like.
        dataset: aligned faces; labels are not used.
        out: the ``.safetensors`` file to write.
        share: the multiply-adds that may remain, as a share of the teacher's.
        weight_share: the weights that may remain, as a share of the teacher's.
        images: number of images to use, drawn at random.
        seed: of this draw and of the saliencies.
        options: what the user states about an ONNX file, see `InputOptions`.

    Returns:
        The part, in evaluation mode.

    Raises:
        ModelError: the teacher cannot be read, has a layer that cannot be pruned (the message names it), or the share
            is too small for it.
        DataError: the set cannot be read, or has too few images.
        SetupError: the file cannot be written, or another process writes it.
    """
    if Path(out).suffix != ".safetensors":
        raise ModelError(f"{path_text(Path(out))} is written as a .safetensors file; give it this extension")
    check_writable(out)
    with lock_output(out):
        return _prune_teacher(Path(teacher), dataset, Path(out), share, weight_share, images, seed, options)


def _prune_teacher(teacher: Path, dataset: Path | str, out: Path, share: float, weight_share: float, images: int,
                   seed: int, options: InputOptions) -> Network:
    network = graph_from_network(load_network(teacher, **options))
    faces = open_faces(dataset)
    count = min(images, len(faces))
    if count < MIN_IMAGES:
        raise DataError(f"{path_text(Path(dataset))}: {count} images, a part is chosen by at least {MIN_IMAGES}; give "
                        "more")
    indices = np.random.default_rng(seed).permutation(len(faces))[:count]
    crops = np.stack([decode_crop(faces.read(index), network.spec.size, faces.location(index))
                      for index in indices.tolist()])
    pruned = prune(network, torch.from_numpy(crops), share, weight_share=weight_share, seed=seed)
    save_model(pruned, out)
    return pruned


def load_network(path: Path, **options: Unpack[InputOptions]) -> Network:
    """Return a network that can be trained from a model of facekd or an ONNX file.

    Args:
        path: the model.
        options: what the user states about an ONNX file, see `InputOptions`.

    Raises:
        ModelError: see `facekd.models.weights.load_model` and `facekd.models.graph.onnx_import.network_from_onnx`.
    """
    if path.suffix == ".onnx":
        return network_from_onnx(path, **options)
    refuse_options(options, f"{path_text(path)} is a network of facekd, which knows how it is fed; leave it out")
    return load_model(path)
