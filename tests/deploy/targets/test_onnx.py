from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import insightface
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facekd.deploy.onnx.graph import OPSET
from facekd.deploy.source import ExportFormat, ExportSource, prepare_source
from facekd.deploy.targets import onnx as module
from facekd.deploy.targets.base import ConvertedFiles, Precision, get_target
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.deploy.validation_gate import summarize_cosines
from facekd.errors import ExportError
from facekd.models.registry import ModelSpec, Network
from facekd.utils.functional import l2_normalize_rows

FORMATS = {"as insightface": ExportFormat(), "all inside": ExportFormat("uint8", l2_normalized=True)}
ConvertFile = Callable[[str, Precision], Path]


@pytest.fixture(scope="module")
def sources(tiny_network: Network, crops: NDArray[np.uint8]) -> dict[str, ExportSource]:
    return {placement: prepare_source(tiny_network, FORMATS[placement], "student", crops) for placement in FORMATS}


@pytest.fixture(scope="module")
def convert_file(sources: dict[str, ExportSource], tmp_path_factory: pytest.TempPathFactory) -> ConvertFile:
    """Return the file of a source in a precision; each source is traced once, and each file written once."""
    targets = {placement: OnnxTarget() for placement in sources}
    folders = {placement: tmp_path_factory.mktemp("files") for placement in sources}
    converted: dict[tuple[str, str], ConvertedFiles] = {}

    def make(placement: str, precision: Precision) -> Path:
        if (placement, precision) not in converted:
            files = targets[placement].convert(sources[placement], precision, folders[placement])
            converted[placement, precision] = files
        return converted[placement, precision].files[0]

    return make


def test_it_is_found_by_name() -> None:
    assert isinstance(get_target("onnx"), OnnxTarget)


@pytest.mark.parametrize(("precision", "name"), [("fp32", "student.onnx"), ("fp16", "student.fp16.onnx"),
                                                 ("int8", "student.int8.onnx")])
def test_files_are_named_by_precision(convert_file: ConvertFile, precision: Precision, name: str) -> None:
    assert convert_file("as insightface", precision).name == name


@pytest.mark.parametrize("placement", FORMATS)
@pytest.mark.parametrize(("precision", "least"), [("fp32", 1 - 1e-6), ("fp16", 1 - 1e-4), ("int8", 0.98)])
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_files_give_the_embeddings_of_the_network(
    sources: dict[str, ExportSource], convert_file: ConvertFile, crops: NDArray[np.uint8], placement: str,
    precision: Precision, least: float, batch: int,
) -> None:
    session = onnxruntime.InferenceSession(str(convert_file(placement, precision)))
    (embeddings,) = session.run(["embedding"], {"input": FORMATS[placement].preprocess(crops[:batch])})
    assert embeddings.shape == (batch, 8) and embeddings.dtype == np.float32
    assert summarize_cosines(embeddings, sources[placement].embed(crops[:batch])).minimum > least


@pytest.mark.parametrize("placement", FORMATS)
@pytest.mark.parametrize(("precision", "least"), [("fp32", 1 - 1e-6), ("fp16", 1 - 1e-4), ("int8", 0.98)])
def test_insightface_scales_pixels_once(
    sources: dict[str, ExportSource], convert_file: ConvertFile, crops: NDArray[np.uint8], placement: str,
    precision: Precision, least: float,
) -> None:
    file = convert_file(placement, precision)
    client = insightface.model_zoo.get_model(str(file), providers=["CPUExecutionProvider"])
    theirs = client.get_feat([np.ascontiguousarray(crops[0, :, :, ::-1])])  # it takes BGR
    assert client.input_mean == (0.0 if FORMATS[placement].input_dtype == "uint8" else 127.5)
    assert summarize_cosines(theirs, sources[placement].embed(crops[:1])).minimum > least


@pytest.mark.parametrize("precision", get_args(Precision))
def test_unit_length_is_inside_if_requested(
    convert_file: ConvertFile, crops: NDArray[np.uint8], precision: Precision
) -> None:
    session = onnxruntime.InferenceSession(str(convert_file("all inside", precision)))
    (embeddings,) = session.run(None, {"input": FORMATS["all inside"].preprocess(crops)})
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-3)


@pytest.mark.parametrize("placement", FORMATS)
@pytest.mark.parametrize("precision", get_args(Precision))
def test_files_are_valid_and_name_nothing_of_this_machine(
    convert_file: ConvertFile, placement: str, precision: Precision
) -> None:
    proto = onnx.load(str(convert_file(placement, precision)))
    onnx.checker.check_model(proto, full_check=True)
    assert {o.domain: o.version for o in proto.opset_import}[""] == OPSET
    assert b".py" not in proto.SerializeToString()
    preprocessing = {entry.key: entry.value for entry in proto.metadata_props}["preprocessing"]
    assert ("127.5" in preprocessing) == (FORMATS[placement].input_dtype == "float")


class WideNetwork(Network):
    """Weights that are larger than the rest of the file, and embeddings of a length that float16 cannot square."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = ModelSpec("wide", 112, 64)
        linear = nn.Linear(16 * 14 * 14, 64)
        linear.weight.data.mul_(1000)
        self.layers = nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.ReLU(), nn.Flatten(), linear)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


@pytest.fixture(scope="module")
def wide(crops: NDArray[np.uint8]) -> ExportSource:
    torch.manual_seed(0)
    return prepare_source(WideNetwork(), ExportFormat("uint8", l2_normalized=True), "wide", crops[:8])


@pytest.fixture(scope="module")
def wide_files(wide: ExportSource, tmp_path_factory: pytest.TempPathFactory) -> dict[Precision, Path]:
    target, folder = OnnxTarget(), tmp_path_factory.mktemp("wide")
    return {precision: target.convert(wide, precision, folder).files[0] for precision in target.precisions}


@pytest.mark.parametrize(("precision", "most"), [("fp16", 0.52), ("int8", 0.30)])
def test_small_files_are_small(wide_files: dict[Precision, Path], precision: Precision, most: float) -> None:
    assert wide_files[precision].stat().st_size < most * wide_files["fp32"].stat().st_size


def test_float16_files_normalize_long_embeddings(
    wide: ExportSource, wide_files: dict[Precision, Path], crops: NDArray[np.uint8]
) -> None:
    expected = wide.embed(crops)
    assert np.linalg.norm(expected, axis=1).min() > 256
    embeddings = OnnxTarget().open([wide_files["fp16"]], wide.io_spec).forward(crops)
    assert np.abs(l2_normalize_rows(expected) - l2_normalize_rows(embeddings)).max() < 2e-3


def test_weights_of_float16_files_are_float16(convert_file: ConvertFile) -> None:
    tensors = onnx.load(str(convert_file("as insightface", "fp16"))).graph.initializer
    assert {t.data_type for t in tensors if len(t.dims) > 1} == {onnx.TensorProto.FLOAT16}


def quantized_layers(file: Path) -> list[bool]:
    """Return for each layer whether its weights are int8."""
    graph = onnx.load(str(file)).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    return [makers.get(n.input[1]) == "DequantizeLinear" for n in graph.node if n.op_type in ("Conv", "Gemm")]


def test_the_first_and_the_last_layer_can_stay_in_float(
    sources: dict[str, ExportSource], convert_file: ConvertFile, tmp_path: Path
) -> None:
    file = OnnxTarget(float_layers="ends").convert(sources["as insightface"], "int8", tmp_path).files[0]
    assert quantized_layers(file) == [False, True, False]
    assert quantized_layers(convert_file("as insightface", "int8")) == [True, True, True]


def test_a_relu_is_merged_though_pixels_are_scaled_with_a_multiplication(wide_files: dict[Precision, Path]) -> None:
    assert not [n for n in onnx.load(str(wide_files["int8"])).graph.node if n.op_type == "Relu"]


@pytest.mark.parametrize("crops", [None, np.zeros((0, 112, 112, 3), np.uint8)])
def test_int8_without_crops_is_refused(tiny_network: Network, tmp_path: Path, crops: NDArray[np.uint8] | None) -> None:
    with pytest.raises(ExportError, match="tiny cannot be made onnx int8 without calibration crops"):
        OnnxTarget().convert(prepare_source(tiny_network, ExportFormat(), "student", crops), "int8", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_opened_files_are_embedders_of_that_many_threads(
    sources: dict[str, ExportSource], convert_file: ConvertFile, crops: NDArray[np.uint8]
) -> None:
    embedder = OnnxTarget().open([convert_file("all inside", "fp16")], sources["all inside"].io_spec, threads=2)
    assert (embedder.name, embedder.size, embedder.dimension, embedder.threads) == ("student.fp16", 112, 8, 2)
    expected = l2_normalize_rows(sources["all inside"].embed(crops))
    assert np.abs(l2_normalize_rows(embedder.forward(crops)) - expected).max() < 1e-2


@pytest.mark.parametrize("placement", FORMATS)
def test_a_file_of_the_other_format_is_refused(
    sources: dict[str, ExportSource], convert_file: ConvertFile, placement: str
) -> None:
    other = next(name for name in FORMATS if name != placement)
    with pytest.raises(ExportError, match="by its graph, not"):
        OnnxTarget().open([convert_file(placement, "fp32")], sources[other].io_spec)


def test_a_file_that_is_no_onnx_file_is_refused(sources: dict[str, ExportSource], tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no")
    with pytest.raises(ExportError, match="cannot be read as an ONNX file"):
        OnnxTarget().open([tmp_path / "m.onnx"], sources["as insightface"].io_spec)


def test_a_failure_of_the_exporter_is_one_sentence_and_leaves_nothing(
    sources: dict[str, ExportSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: ExportSource) -> onnx.ModelProto:
        raise RuntimeError("no such operator\nand much more")

    monkeypatch.setattr(module, "export_graph", fail)
    with pytest.raises(ExportError, match=r"^tiny could not be converted to ONNX in fp16: RuntimeError: no such op.*$"):
        OnnxTarget().convert(sources["all inside"], "fp16", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_conversion_is_silent(
    sources: dict[str, ExportSource], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    target = OnnxTarget()
    for precision in target.precisions:
        target.convert(sources["all inside"], precision, tmp_path)
    assert capfd.readouterr() == ("", "")
