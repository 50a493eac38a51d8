from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import Tensor

from facekd.errors import ModelError, RouteError
from facekd.io.files import sha256
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network, create
from facekd.models.torch_embedder import TorchEmbedder
from facekd.models.weights import load_model
from facekd.route.import_checkpoints import import_route
from facekd.route.route import ImportedFile, Route
from facekd.route.teacher import load_live_teacher

SMALL: dict[str, Any] = {"name": "iresnet18", "size": 32, "options": {"width": 0.125}}
State = dict[str, Tensor]


def teacher(seed: int, embedding: int = 24) -> Network:
    torch.manual_seed(seed)
    model = create("iresnet18", size=32, outputs=embedding, width=0.125)
    for module in model.modules():
        if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm1d)):
            torch.nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
    return model


@pytest.fixture
def crops() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def same_weights(first: Network, second: Network) -> bool:
    state, expected = first.state_dict(), second.state_dict()
    return state.keys() == expected.keys() and all(torch.equal(state[key], expected[key]) for key in state)


def prefixed(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


FORMS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "data parallel": lambda state: prefixed(state, "module."),
    "compiled in a module": lambda state: {"state_dict": prefixed(state, "_orig_mod.backbone.")},
    "arcface_torch's checkpoint_gpu_0": lambda state: {
        "epoch": 3, "global_step": 900, "state_dict_backbone": prefixed(state, "module."),
        "state_dict_softmax_fc": {"weight": torch.zeros(7, 24)},
        "state_optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_an_imported_checkpoint_gives_the_embeddings_of_the_original(
    form: str, tmp_path: Path, crops: NDArray[np.uint8]
) -> None:
    original = teacher(0)
    torch.save(FORMS[form](original.state_dict()), tmp_path / "model.pt")
    route = import_route([tmp_path / "model.pt"], tmp_path / "route", **SMALL)
    imported = load_model(route.point_file(0))
    np.testing.assert_array_equal(TorchEmbedder(imported).embed(crops), TorchEmbedder(original).embed(crops))


def test_safetensors_and_old_torch_files_are_read_too(tmp_path: Path) -> None:
    original = teacher(0)
    torch.save(original.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(original.state_dict(), tmp_path / "bare.safetensors")
    route = import_route([tmp_path / "old.pth", tmp_path / "bare.safetensors"], tmp_path / "route", **SMALL)
    assert all(same_weights(load_model(route.point_file(number)), original) for number in range(2))


def test_the_order_of_the_files_is_the_order_of_the_route(tmp_path: Path) -> None:
    names = ["late.pt", "early.pt", "middle.pt"]
    for seed, name in enumerate(names):
        torch.save(teacher(seed).state_dict(), tmp_path / name)
    import_route([tmp_path / name for name in names], tmp_path / "route", **SMALL)
    route = Route.open(tmp_path / "route")
    assert [(p.step, p.epoch, p.reason) for p in route.points] == [(n, n, "imported") for n in (1, 2, 3)]
    assert route.spec is not None and route.spec.outputs == 24
    for seed in range(3):
        assert same_weights(load_model(route.point_file(seed)), teacher(seed))


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save", [
    lambda content, file: torch.save({"state_dict": content}, file),
    lambda content, file: file.write_bytes(pickle.dumps(content, protocol=2)),
    lambda content, file: file.write_bytes(pickle.dumps(content)),
], ids=["torch", "pickle 2", "pickle"])
def test_a_checkpoint_that_calls_something_is_refused_and_calls_nothing(
    save: Callable[[Any, Path], Any], tmp_path: Path
) -> None:
    save(Malicious(tmp_path / "ran"), tmp_path / "model.pt")
    with pytest.raises(RouteError, match=r"model\.pt .*(not loaded and nothing in it was run|no readable)"):
        import_route([tmp_path / "model.pt"], tmp_path / "route", **SMALL)
    assert not (tmp_path / "ran").exists()


def test_a_pickled_network_is_refused_with_the_way_to_save_its_weights(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(RouteError, match=r"names torch\.nn\.modules\.linear\.Linear.*save\(model\.state_dict\(\)"):
        import_route([tmp_path / "model.pt"], tmp_path / "route", **SMALL)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save(teacher(0).state_dict(), tmp_path / "model.pt")
    content = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(RouteError, match=r"model\.pt is no readable PyTorch checkpoint"):
        import_route([tmp_path / "model.pt"], tmp_path / "route", **SMALL)


def test_a_truncated_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(RouteError, match=r"model\.safetensors is no readable safetensors file"):
        import_route([tmp_path / "model.safetensors"], tmp_path / "route", **SMALL)


@pytest.mark.parametrize("content", [{}, [1], {"weights": 3}, {"state_dict": {"epoch": 3}}])
def test_a_file_without_weights_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(RouteError, match=r"model\.pt holds no state dict"):
        import_route([tmp_path / "model.pt"], tmp_path / "route", **SMALL)


def test_another_architecture_is_refused_by_name_of_the_file_and_leaves_no_route(tmp_path: Path) -> None:
    torch.save(teacher(0).state_dict(), tmp_path / "r18.pt")
    with pytest.raises(ModelError, match=r"r18\.pt belongs to another architecture"):
        import_route([tmp_path / "r18.pt"], tmp_path / "route", name="iresnet34", size=32, options={"width": 0.125})
    assert not (tmp_path / "route" / "route.json").exists()


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    torch.save(teacher(0).state_dict(), tmp_path / "model.pt")
    with pytest.raises(ModelError, match="unknown model 'iresnet19'"):
        import_route([tmp_path / "model.pt"], tmp_path / "route", name="iresnet19")


def test_a_wrong_crop_size_is_refused(tmp_path: Path) -> None:
    torch.save(teacher(0).state_dict(), tmp_path / "model.pt")
    with pytest.raises(ModelError, match=r"fc\.weight is \(24, 256\), not \(24, 3136\)"):
        import_route([tmp_path / "model.pt"], tmp_path / "route", **{**SMALL, "size": 112})


def test_a_length_that_cannot_be_read_must_be_given(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="may not be a checkpoint of iresnet18; if it is, give --outputs NUMBER"):
        import_route([tmp_path / "model.pt"], tmp_path / "route", **SMALL)


def test_other_architectures_are_imported_with_their_options(tmp_path: Path) -> None:
    original = create("mobilenetv2", size=32, outputs=20, width=0.25)
    torch.save(original.state_dict(), tmp_path / "model.pt")
    options = {"width": 0.25}
    route = import_route([tmp_path / "model.pt"], tmp_path / "route", name="mobilenetv2", size=32, options=options)
    assert route.spec == original.spec


def test_points_of_two_embedding_lengths_are_refused(tmp_path: Path) -> None:
    for embedding in (24, 16):
        torch.save(teacher(0, embedding).state_dict(), tmp_path / f"{embedding}.pt")
    with pytest.raises(RouteError, match="file 2 holds embeddings of length 16, those before it of 24"):
        import_route([tmp_path / "24.pt", tmp_path / "16.pt"], tmp_path / "route", **SMALL)


def test_an_existing_route_is_not_touched(tmp_path: Path) -> None:
    torch.save(teacher(0).state_dict(), tmp_path / "model.pt")
    import_route([tmp_path / "model.pt"], tmp_path / "route", **SMALL)
    before = (tmp_path / "route" / "route.json").read_bytes()
    with pytest.raises(RouteError, match="holds a route already"):
        import_route([tmp_path / "model.pt"], tmp_path / "route", **SMALL)
    assert (tmp_path / "route" / "route.json").read_bytes() == before


def test_missing_arguments_are_refused_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(RouteError, match="no file to import"):
        import_route([], tmp_path / "route", name="iresnet18")
    with pytest.raises(RouteError, match=r"absent\.pt does not exist"):
        import_route([tmp_path / "absent.pt"], tmp_path / "route", name="iresnet18")
    with pytest.raises(RouteError, match="name the architecture"):
        import_route([tmp_path / "absent.pt"], tmp_path / "route")


def write_onnx(path: Path, outside: bool = False) -> Path:
    """A face model of 32 px that averages the image's channels and multiplies by a fixed 3 x 8 matrix."""
    weight = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["embeddings"]),
    ]
    graph = helper.make_graph(
        nodes, "face", [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, save_as_external_data=outside, location="outside.bin", size_threshold=0)
    return path


def test_an_onnx_becomes_a_live_teacher(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    file = write_onnx(tmp_path / "w600k.onnx")
    import_route([file], tmp_path / "route")
    original = OnnxEmbedder(file).forward(crops)
    file.unlink()
    route = Route.open(tmp_path / "route")
    live = load_live_teacher(route.point_file(0), torch.device("cpu"))
    assert route.spec is None and len(route.points) == 1
    assert route.points[0].sha256 == sha256(tmp_path / "route" / "point-00000001.onnx")
    assert (live.size, live.dimension) == (32, 8)
    np.testing.assert_array_equal(OnnxEmbedder(route.point_file(0)).forward(crops), original)


@pytest.mark.parametrize("second", ["more.onnx", "model.pt"])
def test_an_onnx_is_imported_alone(second: str, tmp_path: Path) -> None:
    with pytest.raises(RouteError, match="an ONNX is imported alone, 2 files were given"):
        import_route([write_onnx(tmp_path / "face.onnx"), tmp_path / second], tmp_path / "route")


def test_an_onnx_with_weights_in_other_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RouteError, match=r"face\.onnx keeps its weights in other files"):
        import_route([write_onnx(tmp_path / "face.onnx", outside=True)], tmp_path / "route")


def test_a_file_that_is_no_onnx_is_refused_before_anything_is_copied(tmp_path: Path) -> None:
    (tmp_path / "face.onnx").write_bytes(b"<html>not found</html>")
    with pytest.raises(ModelError, match=r"face\.onnx cannot be read as an ONNX file"):
        import_route([tmp_path / "face.onnx"], tmp_path / "route")
    assert not (tmp_path / "route").exists()


def test_a_classifier_of_repdistiller_becomes_a_teacher(tmp_path: Path) -> None:
    network = create("resnet8", size=32, outputs=7, normalization="cifar100", width=0.5)
    torch.save({"epoch": 240, "best_acc": 72.0, "model": network.state_dict()}, tmp_path / "resnet8_last.pth")
    route = import_route([tmp_path / "resnet8_last.pth"], tmp_path / "route", name="resnet8", size=32,
                         options={"width": 0.5}, normalization="cifar100")
    assert route.spec == network.spec
    assert same_weights(network, load_model(route.point_file(0)))


def test_the_route_records_file_checksum_and_license(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    file = write_onnx(tmp_path / "t.onnx")
    stated = import_route([file], tmp_path / "stated", pixels="raw", license_text=" CC-BY-NC-4.0 ")
    assert stated.imported_from == ImportedFile("t.onnx", sha256(file), "CC-BY-NC-4.0")
    assert stated.points[0].sha256 != stated.imported_from.sha256
    assert Route.open(tmp_path / "stated").imported_from == stated.imported_from
    assert import_route([file], tmp_path / "unknown").describe_teacher()["license"] == "unknown"
    (tmp_path / "LICENSE").write_text("MIT License")
    assert import_route([file], tmp_path / "found").describe_teacher()["license"].startswith("MIT License")
