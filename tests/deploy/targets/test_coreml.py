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

from facekd.deploy.source import Form, Interface, Source, freeze
from facekd.deploy.targets.base import NotRunnable, Precision
from facekd.deploy.targets.coreml import CoreMLSpec, CoreMLTarget, read_spec
from facekd.deploy.validation_gate import cosines
from facekd.errors import ExportError
from facekd.models.registry import Network

ct = pytest.importorskip("coremltools", reason="pip install 'facekd[coreml]'")
FULL = Form("uint8", unit=True)
PRECISIONS: tuple[Precision, ...] = CoreMLTarget.precisions
Packages = dict[tuple[Form, Precision], Path]


@pytest.fixture(scope="module")
def sources(tiny: Network) -> dict[Form, Source]:
    return {form: freeze(tiny, form, "tiny") for form in (Form(), FULL)}


@pytest.fixture(scope="module")
def made(sources: dict[Form, Source], tmp_path_factory: pytest.TempPathFactory) -> Packages:
    folder = {form: tmp_path_factory.mktemp("coreml") for form in sources}
    return {
        (form, kind): CoreMLTarget().convert(source, kind, folder[form]).files[0]
        for form, source in sources.items() for kind in PRECISIONS
    }


class Program:
    """An ML program run by torch, one operator after the other: what takes macOS's place here."""

    def __init__(self, path: Path) -> None:
        self.spec = ct.utils.load_spec(str(path))
        self.blobs = (path / "Data" / "com.apple.CoreML" / "weights" / "weight.bin").read_bytes()
        function = self.spec.mlProgram.functions["main"]
        self.operations = list(function.block_specializations[function.opset].operations)

    def run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        values: dict[str, Any] = {"input": torch.from_numpy(pixels)}
        for operation in self.operations:
            taken: dict[str, Any] = {}
            for key, given in operation.inputs.items():
                (argument,) = given.arguments
                taken[key] = values[argument.name] if argument.name else self.constant(argument.value)
            if operation.type == "const":
                values[operation.outputs[0].name] = self.constant(operation.attributes["val"])
            else:
                values[operation.outputs[0].name] = OPERATORS[operation.type](**taken)
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
            held = getattr(tensor, kind).values
            data = np.frombuffer(held, np.float16) if kind == "bytes" else np.array(held)
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
@pytest.mark.parametrize("form", [Form(), FULL])
def test_the_program_answers_as_the_network(
    made: Packages, sources: dict[Form, Source], crops: NDArray[np.uint8], form: Form, precision: Precision,
    least: float,
) -> None:
    program = Program(made[form, precision])
    found = np.concatenate([program.run(image[None]) for image in form.preprocess(crops)])
    expected = sources[form].embed(crops)
    assert cosines(expected, found).minimum > least
    lengths = np.linalg.norm(found, axis=1) / (1 if form.unit else np.linalg.norm(expected, axis=1))
    np.testing.assert_allclose(lengths, 1, atol=1e-5 if precision == "fp32" else 1e-2)


@pytest.mark.parametrize(("precision", "operators"), [("fp32", 10), ("fp16", 12)])  # halves are cast in and out
def test_the_written_spec_says_what_was_asked_for(made: Packages, precision: Precision, operators: int) -> None:
    assert read_spec(made[Form(), precision]) == CoreMLSpec(
        "input", (1, 3, 112, 112), "embedding", 8, weights=precision, operators=operators, version=6
    )


def test_lengths_are_taken_in_float(made: Packages) -> None:
    operations = {operation.type: operation for operation in Program(made[FULL, "fp16"]).operations}
    kinds = {operations[kind].outputs[0].type.tensorType.dataType for kind in ("reduce_l2_norm", "real_div")}
    assert kinds == {11}  # FLOAT32


def test_half_the_bytes_in_halves(made: Packages) -> None:
    full, half = (len(Program(made[Form(), kind]).blobs) for kind in PRECISIONS)
    assert half < 0.52 * full


def test_only_the_folders_are_left(made: Packages) -> None:
    kept = sorted(path.name for path in made[Form(), "fp32"].parent.iterdir())
    assert kept == ["tiny.fp16.mlpackage", "tiny.mlpackage"]


def test_it_says_how_to_feed_it(made: Packages) -> None:
    scaled, raw = (Program(made[form, "fp32"]).spec.description.input[0].shortDescription for form in (Form(), FULL))
    assert "(x - 127.5) / 127.5" in scaled and "0 to 255" in raw


def test_a_folder_that_is_there_is_not_overwritten(made: Packages, sources: dict[Form, Source]) -> None:
    with pytest.raises(ExportError, match="exists already"):
        CoreMLTarget().convert(sources[Form()], "fp32", made[Form(), "fp32"].parent)


def test_conversion_is_silent(sources: dict[Form, Source], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    CoreMLTarget().convert(sources[Form()], "fp32", tmp_path)
    assert capfd.readouterr() == ("", "")


def test_an_operator_that_is_not_known_is_named(
    make_tiny: Callable[[int], Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_tiny(32)
    inner = type(network).forward
    monkeypatch.setattr(type(network), "forward", lambda self, x: torch.digamma(inner(self, x)))
    with pytest.raises(ExportError, match=r"tiny for Core ML in fp32.*digamma"):
        CoreMLTarget().convert(freeze(network, Form(), "tiny"), "fp32", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"m\.mlpackage cannot be read"):
        read_spec(tmp_path / "m.mlpackage")


@pytest.mark.skipif(platform.system() == "Darwin", reason="this is macOS")
def test_off_macos_it_does_not_run(sources: dict[Form, Source], tmp_path: Path) -> None:
    with pytest.raises(NotRunnable, match="runs on macOS, not on"):
        CoreMLTarget().open((tmp_path,), sources[Form()].interface)


def test_on_macos_it_is_asked_for_one_face_at_a_time(
    made: Packages, sources: dict[Form, Source], crops: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(path: str, **_: Any) -> SimpleNamespace:
        program = Program(Path(path))
        return SimpleNamespace(predict=lambda given: {"embedding": program.run(given["input"])})

    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(ct.models, "MLModel", load)
    source, path = sources[Form()], made[Form(), "fp32"]
    embedder = CoreMLTarget().open((path,), source.interface)
    np.testing.assert_allclose(embedder.forward(crops[:7]), source.embed(crops[:7]), atol=1e-4)
    with pytest.raises(ExportError, match="gives 8 numbers, not as asked"):
        CoreMLTarget().open((path,), Interface(112, 16, source.form))
