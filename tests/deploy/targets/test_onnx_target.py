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
from facekd.deploy.source import Form, Source, freeze
from facekd.deploy.targets import onnx as module
from facekd.deploy.targets.base import Made, Precision, target_of
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.deploy.validation_gate import cosines, normalise
from facekd.errors import ExportError
from facekd.models.registry import ModelSpec, Network

FORMS = {"as insightface": Form(), "all inside": Form("uint8", unit=True)}
Files = Callable[[str, Precision], Path]


@pytest.fixture(scope="module")
def sources(tiny: Network, crops: NDArray[np.uint8]) -> dict[str, Source]:
    return {name: freeze(tiny, form, "student", crops) for name, form in FORMS.items()}


@pytest.fixture(scope="module")
def made(sources: dict[str, Source], tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Files of a form and a precision, each traced once and written once."""
    targets = {name: OnnxTarget() for name in sources}
    folders = {name: tmp_path_factory.mktemp("files") for name in sources}
    done: dict[tuple[str, str], Made] = {}

    def make(form: str, precision: Precision) -> Path:
        if (form, precision) not in done:
            done[form, precision] = targets[form].convert(sources[form], precision, folders[form])
        return done[form, precision].files[0]

    return make


def test_it_is_found_by_name() -> None:
    assert isinstance(target_of("onnx"), OnnxTarget)


@pytest.mark.parametrize(("precision", "name"), [("fp32", "student.onnx"), ("fp16", "student.fp16.onnx"),
                                                 ("int8", "student.int8.onnx")])
def test_files_are_named_by_precision(made: Files, precision: Precision, name: str) -> None:
    assert made("as insightface", precision).name == name


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("precision", "least"), [("fp32", 1 - 1e-6), ("fp16", 1 - 1e-4), ("int8", 0.98)])
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_files_answer_as_the_network(
    sources: dict[str, Source], made: Files, crops: NDArray[np.uint8], form: str, precision: Precision, least: float,
    batch: int,
) -> None:
    session = onnxruntime.InferenceSession(str(made(form, precision)))
    (found,) = session.run(["embedding"], {"input": FORMS[form].preprocess(crops[:batch])})
    assert found.shape == (batch, 8) and found.dtype == np.float32
    assert cosines(found, sources[form].embed(crops[:batch])).minimum > least


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("precision", "least"), [("fp32", 1 - 1e-6), ("fp16", 1 - 1e-4), ("int8", 0.98)])
def test_insightface_scales_pixels_once(
    sources: dict[str, Source], made: Files, crops: NDArray[np.uint8], form: str, precision: Precision, least: float
) -> None:
    client = insightface.model_zoo.get_model(str(made(form, precision)), providers=["CPUExecutionProvider"])
    theirs = client.get_feat([np.ascontiguousarray(crops[0, :, :, ::-1])])  # it takes BGR
    assert client.input_mean == (0.0 if FORMS[form].pixels == "uint8" else 127.5)
    assert cosines(theirs, sources[form].embed(crops[:1])).minimum > least


@pytest.mark.parametrize("precision", get_args(Precision))
def test_unit_length_is_inside_where_asked(made: Files, crops: NDArray[np.uint8], precision: Precision) -> None:
    session = onnxruntime.InferenceSession(str(made("all inside", precision)))
    (found,) = session.run(None, {"input": FORMS["all inside"].preprocess(crops)})
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("precision", get_args(Precision))
def test_files_are_valid_and_name_nothing_of_this_machine(made: Files, form: str, precision: Precision) -> None:
    proto = onnx.load(str(made(form, precision)))
    onnx.checker.check_model(proto, full_check=True)
    assert {o.domain: o.version for o in proto.opset_import}[""] == OPSET
    assert b".py" not in proto.SerializeToString()
    told = {entry.key: entry.value for entry in proto.metadata_props}["preprocessing"]
    assert ("127.5" in told) == (FORMS[form].pixels == "float")


class Wide(Network):
    """Weights that outweigh the graph around them, of a length that float16 cannot square."""

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
def wide(crops: NDArray[np.uint8]) -> Source:
    torch.manual_seed(0)
    return freeze(Wide(), Form("uint8", unit=True), "wide", crops[:8])


@pytest.fixture(scope="module")
def wide_files(wide: Source, tmp_path_factory: pytest.TempPathFactory) -> dict[Precision, Path]:
    target, folder = OnnxTarget(), tmp_path_factory.mktemp("wide")
    return {precision: target.convert(wide, precision, folder).files[0] for precision in target.precisions}


@pytest.mark.parametrize(("precision", "most"), [("fp16", 0.52), ("int8", 0.30)])
def test_small_files_are_small(wide_files: dict[Precision, Path], precision: Precision, most: float) -> None:
    assert wide_files[precision].stat().st_size < most * wide_files["fp32"].stat().st_size


def test_float16_takes_the_length_of_long_embeddings(
    wide: Source, wide_files: dict[Precision, Path], crops: NDArray[np.uint8]
) -> None:
    expected = wide.embed(crops)
    assert np.linalg.norm(expected, axis=1).min() > 256
    found = OnnxTarget().open([wide_files["fp16"]], wide.interface).forward(crops)
    assert np.abs(normalise(expected) - normalise(found)).max() < 2e-3


def test_weights_of_float16_files_are_float16(made: Files) -> None:
    tensors = onnx.load(str(made("as insightface", "fp16"))).graph.initializer
    assert {t.data_type for t in tensors if len(t.dims) > 1} == {onnx.TensorProto.FLOAT16}


def _quantised(file: Path) -> list[bool]:
    graph = onnx.load(str(file)).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    return [makers.get(n.input[1]) == "DequantizeLinear" for n in graph.node if n.op_type in ("Conv", "Gemm")]


def test_the_ends_can_be_kept_in_float(sources: dict[str, Source], made: Files, tmp_path: Path) -> None:
    kept = OnnxTarget(keep="ends").convert(sources["as insightface"], "int8", tmp_path).files[0]
    assert _quantised(kept) == [False, True, False]
    assert _quantised(made("as insightface", "int8")) == [True, True, True]


def test_a_relu_is_merged_though_pixels_are_scaled_with_a_multiplication(wide_files: dict[Precision, Path]) -> None:
    assert not [n for n in onnx.load(str(wide_files["int8"])).graph.node if n.op_type == "Relu"]


@pytest.mark.parametrize("crops", [None, np.zeros((0, 112, 112, 3), np.uint8)])
def test_int8_without_crops_is_refused(tiny: Network, tmp_path: Path, crops: NDArray[np.uint8] | None) -> None:
    with pytest.raises(ExportError, match="tiny cannot be made onnx int8 without calibration crops"):
        OnnxTarget().convert(freeze(tiny, Form(), "student", crops), "int8", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_opened_files_are_embedders_of_that_many_threads(
    sources: dict[str, Source], made: Files, crops: NDArray[np.uint8]
) -> None:
    embedder = OnnxTarget().open([made("all inside", "fp16")], sources["all inside"].interface, threads=2)
    assert (embedder.name, embedder.size, embedder.dimension, embedder.threads) == ("student.fp16", 112, 8, 2)
    assert np.abs(normalise(embedder.forward(crops)) - normalise(sources["all inside"].embed(crops))).max() < 1e-2


@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_the_other_form_is_refused(sources: dict[str, Source], made: Files, form: str) -> None:
    other = next(name for name in FORMS if name != form)
    with pytest.raises(ExportError, match="is fed"):
        OnnxTarget().open([made(form, "fp32")], sources[other].interface)


def test_what_is_no_onnx_file_is_refused(sources: dict[str, Source], tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no")
    with pytest.raises(ExportError, match="not an ONNX file"):
        OnnxTarget().open([tmp_path / "m.onnx"], sources["as insightface"].interface)


def test_a_failure_of_the_exporter_is_one_sentence_and_leaves_nothing(
    sources: dict[str, Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: Source) -> onnx.ModelProto:
        raise RuntimeError("no such operator\nand much more")

    monkeypatch.setattr(module, "trace", fail)
    with pytest.raises(ExportError, match=r"^tiny could not be made an ONNX file in fp16: RuntimeError: no such op.*$"):
        OnnxTarget().convert(sources["all inside"], "fp16", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_conversion_is_silent(sources: dict[str, Source], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = OnnxTarget()
    for precision in target.precisions:
        target.convert(sources["all inside"], precision, tmp_path)
    assert capfd.readouterr() == ("", "")
