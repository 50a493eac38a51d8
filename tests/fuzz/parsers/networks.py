"""Networks, checkpoints and ONNX files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save

from facekd.data.alignment.detector_file import open_detector
from facekd.deploy.onnx.cost import count_onnx_cost
from facekd.models.graph.onnx_import import network_from_onnx
from facekd.models.graph.trace import graph_from_network
from facekd.models.loading import load
from facekd.models.registry import create
from facekd.models.weights import save_model
from facekd.route.import_checkpoints import import_route
from facekd.training import checkpoint
from tests.fuzz.parser import Files, Parser, collect

SIZE = 32


def tiny_network(seed: int = 0) -> Any:
    """Return a network of a few hundred weights."""
    torch.manual_seed(seed)
    return create("mlp", size=SIZE, outputs=4, hidden=8, cells=2)


def _model_seeds(folder: Path) -> Sequence[Files]:
    save_model(tiny_network(), folder / "model.safetensors")
    first = collect(folder)
    torch.manual_seed(0)
    save_model(create("lenet", size=SIZE, outputs=4, width=0.2), folder / "model.safetensors")
    second = collect(folder)
    save_model(graph_from_network(create("mobilefacenet", size=SIZE, outputs=4, width=0.1)),
               folder / "model.safetensors")
    return [first, second, collect(folder)]


def _checkpoint_seeds(folder: Path) -> Sequence[Files]:
    network = tiny_network()
    momentum = {number: {"momentum_buffer": torch.zeros_like(value)}
                for number, value in enumerate(network.parameters())}
    groups = [{"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": False, "params": list(momentum)}]
    checkpoint.save(folder, checkpoint.Position(0, 3, 7), network.state_dict(),
                    optimizer={"state": momentum, "param_groups": groups}, scaler={}, ema={})
    return [{"state.pt": content} for content in collect(folder).values()]


def _read_checkpoint(folder: Path) -> None:
    """Name the file by its checksum, without which every damage is recognised by the name."""
    content = (folder / "state.pt").read_bytes() if (folder / "state.pt").exists() else b""
    place = folder / "checkpoints"
    place.mkdir()
    (place / f"step-00000007-{hashlib.sha256(content).hexdigest()[:16]}.pt").write_bytes(content)
    checkpoint.restore(place, tiny_network())


def _saved(content: Any, **options: Any) -> bytes:
    output = io.BytesIO()
    torch.save(content, output, **options)
    return output.getvalue()


def _weight_seeds(folder: Path) -> Sequence[Files]:
    weights = dict(tiny_network().state_dict())
    wrapped = {"state_dict": {f"module.{name}": value for name, value in weights.items()}, "epoch": 3}
    return [{"t.pt": _saved(weights), "LICENSE": b"\nMIT License\n"}, {"t.pt": _saved(wrapped)},
            {"t.safetensors": save(weights)},
            {"t.pt": _saved(weights, _use_new_zipfile_serialization=False)}]


def _read_weights(folder: Path) -> None:
    file = folder / ("t.safetensors" if (folder / "t.safetensors").exists() else "t.pt")
    import_route([file], folder / "route", name="mlp", size=SIZE, options={"hidden": 8, "cells": 2})


def recogniser(*, names: Sequence[str] = ("Sub_1", "Mul_1"), scaled: bool = True, batch: int | str = "batch",
               size: int | str = SIZE) -> bytes:
    """Return a face model as ONNX: the scaling of pixels, a convolution, the mean over the image, a matrix product."""
    rng = np.random.default_rng(0)
    constants: dict[str, Any] = {"mean": np.array([127.5], np.float32), "scale": np.array([1 / 127.5], np.float32),
                 "kernel": rng.normal(size=(4, 3, 3, 3)).astype(np.float32), "shape": np.array([-1, 4], np.int64),
                 "matrix": rng.normal(size=(4, 4)).astype(np.float32)}
    nodes = [helper.make_node("Sub", ["data", "mean"], ["centred"], name=names[0]),
             helper.make_node("Mul", ["centred", "scale"], ["pixels"], name=names[1])] if scaled else []
    if not scaled:
        del constants["mean"], constants["scale"]
    nodes += [
        helper.make_node("Conv", ["pixels" if scaled else "data", "kernel"], ["map"], name="Conv_1", strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["map"], ["mean_map"], name="Pool_1"),
        helper.make_node("Reshape", ["mean_map", "shape"], ["flat"], name="Reshape_1"),
        helper.make_node("MatMul", ["flat", "matrix"], ["embedding"], name="MatMul_1"),
    ]
    graph = helper.make_graph(
        nodes, "recogniser", [helper.make_tensor_value_info("data", TensorProto.FLOAT, [batch, 3, size, size])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, 4])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def _onnx_seeds(folder: Path) -> Sequence[Files]:
    stated = onnx.load_from_string(recogniser(names=("/Sub", "/Mul")))
    helper.set_model_props(stated, {"facekd.input": '{"pixels": "raw", "channels": "bgr"}', "spec": "{}"})
    external = onnx.load_from_string(recogniser(scaled=False))
    onnx.save(external, folder / "model.onnx", save_as_external_data=True, size_threshold=64, location="model.data")
    return [{"model.onnx": recogniser()}, {"model.onnx": recogniser(names=("/Sub", "/Mul"), batch=1)},
            {"model.onnx": recogniser(scaled=False)}, collect(folder), {"model.onnx": stated.SerializeToString()},
            {"model.onnx": _with_prelu(recogniser(scaled=False))}]


def _single_onnx_seeds(folder: Path) -> Sequence[Files]:
    """Return the seeds that are one file."""
    return [files for files in _onnx_seeds(folder) if len(files) == 1]


def _with_prelu(content: bytes) -> bytes:
    """Return a recogniser whose embedding passes a PReLU, which `facekd.models.onnx_prelu` rewrites."""
    model = onnx.load_from_string(content)
    model.graph.node[-1].output[0] = "product"
    model.graph.node.append(helper.make_node("PRelu", ["product", "slopes"], ["embedding"], name="PRelu_2"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 0, 0.5, 2], np.float32), "slopes"))
    return bytes(model.SerializeToString())


def _read_embedder(folder: Path) -> None:
    embedder = load(folder / "model.onnx")
    crops = np.zeros((2, min(embedder.size, 64), min(embedder.size, 64), 3), np.uint8)
    if embedder.size <= 64:
        embedder.embed(crops, flip=False)


def detector(kind: str) -> bytes:
    """Return the graph of a detector: its outputs, each a constant."""
    if kind == "yunet":
        outputs = [f"{name}_{stride}" for name in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)]
        widths = [width for width in (1, 1, 4, 10) for _ in range(3)]
    else:
        outputs, widths = [str(number) for number in range(9)], [width for width in (1, 4, 10) for _ in range(3)]
    nodes = [helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.zeros((2, width), np.float32)))
             for name, width in zip(outputs, widths, strict=True)]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, width])
             for name, width in zip(outputs, widths, strict=True)]
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 32, 32])
    graph = helper.make_graph(nodes, kind, [image], infos)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)],
                                   ir_version=7).SerializeToString())


def _detector_seeds(folder: Path) -> Sequence[Files]:
    return [{"detector.onnx": detector(kind)} for kind in ("scrfd", "yunet")]


def _read_if_there(read: Callable[[Path], object], name: str) -> Callable[[Path], object]:
    return lambda folder: read(folder / name)


PARSERS = [
    Parser("model_safetensors", ["models/weights.py", "models/loading.py", "models/torch_embedder.py",
                                 "models/graph/description.py"], _model_seeds,
           _read_if_there(load, "model.safetensors"), {"*.safetensors": "safetensors"}),
    Parser("checkpoint_pt", ["training/checkpoint.py", "io/torch_archive.py", "models/weights.py"], _checkpoint_seeds,
           _read_checkpoint, {"*.pt": "zip"}, scratch=["checkpoints"]),
    Parser("route_import_weights", ["route/external_checkpoint.py", "io/torch_archive.py", "io/licenses.py"],
           _weight_seeds, _read_weights, {"*.pt": "zip", "*.safetensors": "safetensors", "LICENSE": "text"},
           scratch=["route"]),
    Parser("onnx_embedder", ["models/onnx_embedder.py", "models/onnx_interface.py", "models/onnx_prelu.py",
                             "io/onnx_file.py", "io/onnx_session.py"], _onnx_seeds,
           _read_embedder,
           {"*.onnx": "protobuf", "*.data": "binary"}),
    Parser("onnx_network", ["models/graph/onnx_import.py"], _single_onnx_seeds,
           _read_if_there(network_from_onnx, "model.onnx"), {"*.onnx": "protobuf"}),
    Parser("onnx_cost", ["deploy/onnx/cost.py"], _onnx_seeds, _read_if_there(count_onnx_cost, "model.onnx"),
           {"*.onnx": "protobuf", "*.data": "binary"}),
    Parser("onnx_detector", ["data/alignment/detector_file.py", "io/insightface_pack.py"], _detector_seeds,
           _read_if_there(open_detector, "detector.onnx"), {"*.onnx": "protobuf"}),
]
