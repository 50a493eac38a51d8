"""Core ML, Apple's runtime: one folder that Xcode takes; made and read back anywhere, run on macOS only."""

from __future__ import annotations

import hashlib
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from facekd.deploy.quiet import quiet
from facekd.deploy.source import Interface, Source
from facekd.deploy.targets.base import Made, NotRunnable, Precision, Target, register
from facekd.errors import ExportError
from facekd.models.embedder import Embedder

INPUT, OUTPUT = "input", "embedding"
OLDEST = "iOS15"
NOTE = "Core ML: iOS 15 or macOS 12 and newer, one face at a time."
LENGTH = ("reduce_l2_norm", "maximum", "tile", "real_div")
"""What divides an embedding by its length. It stays in float32: squares overflow halves from a length of 256 on."""


@dataclass(frozen=True)
class CoreMLSpec:
    """What an ``.mlpackage`` says of itself.

    Attributes:
        input: the name of its input.
        shape: of the input, [1, 3, size, size].
        output: the name of its output.
        dimension: length of the output.
        weights: in what its weights are stored, ``fp32``, ``fp16`` or both with a plus.
        operators: how many it has, constants not counted.
        version: of the specification; 6 is iOS 15 and macOS 12.
    """

    input: str
    shape: tuple[int, ...]
    output: str
    dimension: int
    weights: str
    operators: int
    version: int


@register
class CoreMLTarget(Target):
    """Core ML: an ML program of a fixed batch of one, which is what a phone asks for."""

    name = "coreml"
    precisions = ("fp32", "fp16")
    modules: ClassVar[dict[str, str]] = {"coremltools": "coremltools"}
    extra = "coreml"
    runtime = "coremltools"

    def convert(self, source: Source, precision: Precision, folder: Path) -> Made:
        """Write the folder ``NAME.mlpackage`` or ``NAME.fp16.mlpackage``; see `Target.convert`."""
        self.demand()
        what = f"{source.spec.name} for Core ML in {precision}"
        if precision not in self.precisions:
            raise ExportError(f"{what}: only {' and '.join(self.precisions)} are offered; choose one of these")
        path = folder / f"{source.stem(precision)}.mlpackage"
        if path.exists():
            raise ExportError(f"{path} exists already; remove it or export to another folder")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".coreml") as scratch:  # beside it, to be moved at once
            finished = Path(scratch) / "finished.mlpackage"
            try:
                with quiet():
                    _convert(source, precision, Path(scratch) / "raw.mlpackage", finished)
            except Exception as error:  # coremltools raises what it comes across, of no common kind
                raise ExportError(f"{what}: coremltools failed ({' '.join(str(error).split())})") from error
            _check(read_spec(finished), source, precision, what)
            finished.rename(path)
        return Made((path,), (NOTE,))

    def open(self, files: Sequence[Path], interface: Interface, threads: int = 1) -> Embedder:
        """The folder as an embedder, on macOS; Core ML chooses its threads itself. See `Target.open`."""
        if platform.system() != "Darwin":
            raise NotRunnable(f"Core ML runs on macOS, not on {platform.system()}")
        self.demand()
        return CoreMLEmbedder(files, interface)


class CoreMLEmbedder(Embedder):
    """A face model in an ``.mlpackage``, run by macOS on the processor, one image after the other.

    Args:
        files: the folder.
        interface: how it is talked to.

    Raises:
        ExportError: not such a folder, of another network, or refused by this macOS.
    """

    def __init__(self, files: Sequence[Path], interface: Interface) -> None:
        if len(files) != 1:
            raise ExportError(f"Core ML wants one .mlpackage folder, {len(files)} files were given; give one")
        self.path, self.interface = files[0], interface
        spec = read_spec(self.path)
        if spec.shape != (1, 3, interface.size, interface.size) or spec.dimension != interface.dimension:
            raise ExportError(f"{self.path} takes {list(spec.shape)} and gives {spec.dimension} numbers, not as asked")
        self.input, self.output = spec.input, spec.output
        self.name, self.size, self.dimension = self.path.stem, interface.size, interface.dimension
        self.fingerprint = _fingerprint(self.path)
        try:
            with quiet():
                import coremltools

                self.model: Any = coremltools.models.MLModel(
                    str(self.path), compute_units=coremltools.ComputeUnit.CPU_ONLY
                )
        except Exception as error:  # what macOS says reaches Python as several kinds
            raise ExportError(f"{self.path} cannot be loaded by Core ML ({error}); export it again") from error

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw embeddings, float32 [batch, dimension]; see `Embedder.forward`."""
        features = np.empty((len(crops), self.dimension), np.float32)
        for index, image in enumerate(self.interface.form.preprocess(crops)):
            features[index] = np.asarray(self.model.predict({self.input: image[None]})[self.output]).reshape(-1)
        return features


def read_spec(path: Path) -> CoreMLSpec:
    """What an ``.mlpackage`` says of itself; reading runs on any machine.

    Raises:
        ExportError: not an ``.mlpackage`` of an ML program with one function, one input and one output.
    """
    with quiet():
        import coremltools
        from coremltools.proto import MIL_pb2

    try:
        spec = coremltools.utils.load_spec(str(path))
        (given,), (result,) = spec.description.input, spec.description.output
        (function,) = spec.mlProgram.functions.values()
    except Exception as error:  # absent, not a folder, cut short: each raises another kind
        raise ExportError(f"{path} cannot be read as a Core ML package ({error}); export it again") from error
    operations = list(function.block_specializations[function.opset].operations)
    stored = {
        MIL_pb2.DataType.Name(operation.attributes["val"].type.tensorType.dataType)
        for operation in operations
        if operation.type == "const" and operation.attributes["val"].WhichOneof("value") == "blobFileValue"
    }
    short = {"FLOAT16": "fp16", "FLOAT32": "fp32"}
    return CoreMLSpec(
        given.name, tuple(given.type.multiArrayType.shape), result.name, result.type.multiArrayType.shape[-1],
        "+".join(sorted(short.get(kind, kind) for kind in stored)),
        sum(operation.type != "const" for operation in operations), spec.specificationVersion,
    )


def _convert(source: Source, precision: Precision, raw: Path, finished: Path) -> None:
    import coremltools as ct

    shape = (1, 3, source.spec.size, source.spec.size)
    halves = ct.transform.FP16ComputePrecision(op_selector=lambda operation: operation.op_type not in LENGTH)
    model = ct.convert(
        torch.jit.trace(source.graph(split_prelu=False), torch.zeros(shape)),  # type: ignore[no-untyped-call]
        inputs=[ct.TensorType(name=INPUT, shape=shape, dtype=np.float32)],
        outputs=[ct.TensorType(name=OUTPUT, dtype=np.float32)],  # float32 outside whatever is inside
        convert_to="mlprogram", minimum_deployment_target=getattr(ct.target, OLDEST),
        compute_precision=halves if precision == "fp16" else ct.precision.FLOAT32,
        package_dir=str(raw), skip_model_load=True,
    )
    scaled = "0 to 255" if source.form.pixels == "uint8" else "(x - 127.5) / 127.5"
    model.short_description = f"Face recognition: the cosine of two embeddings. {NOTE}"
    model.input_description[INPUT] = f"An aligned face, RGB, {scaled}, [1, 3, size, size]"
    model.output_description[OUTPUT] = f"The embedding{', of unit length' if source.form.unit else ''}"
    model.save(str(finished))


def _check(spec: CoreMLSpec, source: Source, precision: Precision, what: str) -> None:
    """Raise an ExportError unless the written folder says what was asked for."""
    shape = (1, 3, source.spec.size, source.spec.size)
    found = spec.input, spec.shape, spec.output, spec.dimension, spec.weights
    if found != (INPUT, shape, OUTPUT, source.spec.outputs, precision):
        raise ExportError(f"{what}: coremltools wrote {spec}, which is not what was asked for; try another version")


def _fingerprint(path: Path) -> str:
    """SHA-256 of all files under ``Data`` in one; the manifest beside it names them by random numbers."""
    digest = hashlib.sha256()
    for file in sorted((path / "Data").rglob("*")):
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()
