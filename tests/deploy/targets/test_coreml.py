from __future__ import annotations

import platform
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from facekd.deploy.source import ExportFormat, ExportSource, IOSpec, prepare_source
from facekd.deploy.targets.base import Precision, RuntimeUnavailableError
from facekd.deploy.targets.coreml import CoreMLSpec, CoreMLTarget, read_spec
from facekd.deploy.validation_gate import summarize_cosines
from facekd.errors import ExportError
from facekd.models.registry import Network

ct = pytest.importorskip("coremltools", reason="pip install 'facekd[coreml]'")
FULL = ExportFormat("uint8", l2_normalized=True)
PRECISIONS: tuple[Precision, ...] = CoreMLTarget.precisions
Packages = dict[tuple[ExportFormat, Precision], Path]


@pytest.fixture(scope="module")
def sources(tiny_network: Network) -> dict[ExportFormat, ExportSource]:
    return {file_format: prepare_source(tiny_network, file_format, "tiny") for file_format in (ExportFormat(), FULL)}


@pytest.fixture(scope="module")
def packages(sources: dict[ExportFormat, ExportSource], tmp_path_factory: pytest.TempPathFactory) -> Packages:
    folder = {file_format: tmp_path_factory.mktemp("coreml") for file_format in sources}
    return {
        (file_format, kind): CoreMLTarget().convert(source, kind, folder[file_format]).files[0]
        for file_format, source in sources.items() for kind in PRECISIONS
    }


class Program:
    """Runs an ML program by torch, one operator after the other, in place of macOS."""

    def __init__(self, path: Path) -> None:
        self.spec = ct.utils.load_spec(str(path))
        self.blobs = (path / "Data" / "com.apple.CoreML" / "weights" / "weight.bin").read_bytes()
        function = self.spec.mlProgram.functions["main"]
        self.operations = list(function.block_specializations[function.opset].operations)

    def run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        values: dict[str, Any] = {"input": torch.from_numpy(pixels)}
        for operation in self.operations:
            arguments: dict[str, Any] = {}
            for key, argument_list in operation.inputs.items():
                (argument,) = argument_list.arguments
                arguments[key] = values[argument.name] if argument.name else self.constant(argument.value)
            if operation.type == "const":
                values[operation.outputs[0].name] = self.constant(operation.attributes["val"])
            else:
                values[operation.outputs[0].name] = OPERATORS[operation.type](**arguments)
        return np.asarray(values["embedding"].numpy(), np.float32)

    def constant(self, value: Any) -> Any:
        shape = [d.constant.size for d in value.type.tensorType.dimensions]
        half = value.type.tensorType.dataType == 10
        if value.WhichOneof("value") == "blobFileValue":
            sentinel, _, length, start = struct.unpack_from("<IIQQ", self.blobs, value.blobFileValue.offset)
            assert sentinel == 0xDEADBEEF
            data = np.frombuffer(self.blobs[start : start + length], np.float16 if half else np.float32)
        else:
            tensor = value.immediateValue.tensor
            kind = tensor.WhichOneof("value")
            if kind == "strings":
                return tensor.strings.values[0]
            values = getattr(tensor, kind).values
            data = np.frombuffer(values, np.float16) if kind == "bytes" else np.array(values)
        array = torch.from_numpy(data.astype(np.float32) if data.dtype.kind == "f" else data.copy()).reshape(shape)
        return array if data.dtype.kind == "f" else array.tolist()


def convolve(x: Tensor, weight: Tensor, strides: Any, pad: Any, dilations: Any, groups: Any, **others: Any) -> Tensor:
    top, bottom, left, right = pad
    padded = functional.pad(x, (left, right, top, bottom))
    return functional.conv2d(padded, weight, others.get("bias"), strides, 0, dilations, groups)


OPERATORS: dict[str, Callable[..., Tensor]] = {
    "conv": convolve,
    "prelu": lambda x, alpha: functional.prelu(x, alpha),
    "leaky_relu": lambda x, alpha: functional.leaky_relu(x, float(alpha)),
    "avg_pool": lambda x, kernel_sizes, strides, **_: functional.avg_pool2d(x, kernel_sizes, strides),
    "reshape": lambda x, shape: x.reshape(shape),
    "linear": lambda x, weight, bias=None: functional.linear(x, weight, bias),
    "expand_dims": lambda x, axes: x.unsqueeze(axes[0]),
    "squeeze": lambda x, axes: x.squeeze(axes[0]),
    "batch_norm": lambda x, mean, variance, gamma, beta, epsilon: functional.batch_norm(
        x, mean, variance, gamma, beta, eps=float(epsilon)
    ),
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "maximum": lambda x, y: torch.maximum(x, y),
    "reduce_l2_norm": lambda x, axes, keep_dims: x.norm(dim=axes, keepdim=keep_dims),
    "tile": lambda x, reps: x.tile(reps),
    "real_div": lambda x, y: x / y,
    "cast": lambda x, dtype: x,
}


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.999999), ("fp16", 0.9999)])
@pytest.mark.parametrize("file_format", [ExportFormat(), FULL])
def test_the_program_gives_the_embeddings_of_the_network(
    packages: Packages, sources: dict[ExportFormat, ExportSource], crops: NDArray[np.uint8], file_format: ExportFormat,
    precision: Precision, least: float,
) -> None:
    program = Program(packages[file_format, precision])
    embeddings = np.concatenate([program.run(image[None]) for image in file_format.preprocess(crops)])
    expected = sources[file_format].embed(crops)
    assert summarize_cosines(expected, embeddings).minimum > least
    expected_lengths = 1 if file_format.l2_normalized else np.linalg.norm(expected, axis=1)
    lengths = np.linalg.norm(embeddings, axis=1) / expected_lengths
    np.testing.assert_allclose(lengths, 1, atol=1e-5 if precision == "fp32" else 1e-2)


@pytest.mark.parametrize(("precision", "operators"), [("fp32", 10), ("fp16", 12)])  # halves are cast in and out
def test_the_written_spec_is_the_requested_one(packages: Packages, precision: Precision, operators: int) -> None:
    assert read_spec(packages[ExportFormat(), precision]) == CoreMLSpec(
        "input", (1, 3, 112, 112), "embedding", 8, weights=precision, operators=operators, version=6
    )


def test_lengths_are_computed_in_float32(packages: Packages) -> None:
    operations = {operation.type: operation for operation in Program(packages[FULL, "fp16"]).operations}
    kinds = {operations[kind].outputs[0].type.tensorType.dataType for kind in ("reduce_l2_norm", "real_div")}
    assert kinds == {11}  # FLOAT32


def test_float16_files_have_half_the_bytes(packages: Packages) -> None:
    full, half = (len(Program(packages[ExportFormat(), kind]).blobs) for kind in PRECISIONS)
    assert half < 0.52 * full


def test_only_the_folders_are_left(packages: Packages) -> None:
    names = sorted(path.name for path in packages[ExportFormat(), "fp32"].parent.iterdir())
    assert names == ["tiny.fp16.mlpackage", "tiny.mlpackage"]


def test_it_describes_its_input(packages: Packages) -> None:
    programs = [Program(packages[file_format, "fp32"]) for file_format in (ExportFormat(), FULL)]
    scaled, raw = (program.spec.description.input[0].shortDescription for program in programs)
    assert "(x - 127.5) / 127.5" in scaled and "0 to 255" in raw


def test_an_existing_folder_is_not_overwritten(packages: Packages, sources: dict[ExportFormat, ExportSource]) -> None:
    with pytest.raises(ExportError, match="exists already"):
        CoreMLTarget().convert(sources[ExportFormat()], "fp32", packages[ExportFormat(), "fp32"].parent)


def test_conversion_is_silent(
    sources: dict[ExportFormat, ExportSource], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    CoreMLTarget().convert(sources[ExportFormat()], "fp32", tmp_path)
    assert capfd.readouterr() == ("", "")


def test_an_unknown_operator_is_named(
    make_tiny_network: Callable[[int], Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_tiny_network(32)
    inner = type(network).forward
    monkeypatch.setattr(type(network), "forward", lambda self, x: torch.digamma(inner(self, x)))
    with pytest.raises(ExportError, match=r"tiny for Core ML in fp32.*digamma"):
        CoreMLTarget().convert(prepare_source(network, ExportFormat(), "tiny"), "fp32", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"m\.mlpackage cannot be read"):
        read_spec(tmp_path / "m.mlpackage")


@pytest.mark.skipif(platform.system() == "Darwin", reason="this is macOS")
def test_off_macos_it_does_not_run(sources: dict[ExportFormat, ExportSource], tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailableError, match="runs on macOS, not on"):
        CoreMLTarget().open((tmp_path,), sources[ExportFormat()].io_spec)


def test_on_macos_it_runs_one_face_at_a_time(
    packages: Packages, sources: dict[ExportFormat, ExportSource], crops: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(path: str, **_: Any) -> SimpleNamespace:
        program = Program(Path(path))
        return SimpleNamespace(predict=lambda inputs: {"embedding": program.run(inputs["input"])})

    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(ct.models, "MLModel", load)
    source, path = sources[ExportFormat()], packages[ExportFormat(), "fp32"]
    embedder = CoreMLTarget().open((path,), source.io_spec)
    np.testing.assert_allclose(embedder.forward(crops[:7]), source.embed(crops[:7]), atol=1e-4)
    with pytest.raises(ExportError, match=r"gives 8 numbers, \[1, 3, 112, 112\] and 16 were expected"):
        CoreMLTarget().open((path,), IOSpec(112, 16, source.format))
