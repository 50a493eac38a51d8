"""Core ML, Apple's runtime: an ``.mlpackage`` folder for Xcode, written and read anywhere but run on macOS only."""

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

from facekd.deploy.source import ExportSource, IOSpec
from facekd.deploy.suppress_output import suppress_output
from facekd.deploy.targets.base import ConvertedFiles, Precision, RuntimeUnavailableError, Target, register
from facekd.errors import ExportError
from facekd.models.embedder import Embedder

INPUT = "input"
OUTPUT = "embedding"
DEPLOYMENT_TARGET = "iOS15"
NOTE = "Core ML: iOS 15 or macOS 12 and newer, one face at a time."
NORMALIZATION_OPERATORS = ("reduce_l2_norm", "maximum", "tile", "real_div")
"""The operators of L2 normalization. They stay in float32: squares overflow float16 from a length of 256 on."""
STORAGE_NAMES = {"FLOAT16": "fp16", "FLOAT32": "fp32"}


@dataclass(frozen=True)
class CoreMLSpec:
    """The description in an ``.mlpackage``.

    Attributes:
        input: the name of the input.
        shape: shape of the input, [1, 3, size, size].
        output: the name of the output.
        dimension: length of the output.
        weights: the types of the stored weights: ``fp32``, ``fp16``, or both joined by a plus.
        operators: number of operators, without constants.
        version: version of the specification; 6 means iOS 15 and macOS 12.
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
    """Core ML: an ML program with a fixed batch of one, the usual case on a phone."""

    name = "coreml"
    precisions = ("fp32", "fp16")
    required_packages: ClassVar[dict[str, str]] = {"coremltools": "coremltools"}
    extra = "coreml"
    runtime = "coremltools"

    def convert(self, source: ExportSource, precision: Precision, folder: Path) -> ConvertedFiles:
        """Write the folder ``NAME.mlpackage`` or ``NAME.fp16.mlpackage``; see `Target.convert`."""
        self.check_installed()
        label = f"{source.spec.name} for Core ML in {precision}"
        if precision not in self.precisions:
            raise ExportError(f"{label}: only {' and '.join(self.precisions)} are offered; choose one of these")
        path = folder / f"{source.file_stem(precision)}.mlpackage"
        if path.exists():
            raise ExportError(f"{path} exists already; remove it or export to another folder")
        folder.mkdir(parents=True, exist_ok=True)
        # The scratch folder is on the same file system as the result, so that the final rename is atomic.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".coreml") as scratch:
            finished = Path(scratch) / "finished.mlpackage"
            try:
                with suppress_output():
                    _convert(source, precision, Path(scratch) / "raw.mlpackage", finished)
            except Exception as error:  # the exceptions of coremltools have no common base class
                raise ExportError(f"{label}: coremltools failed ({' '.join(str(error).split())})") from error
            _check(read_spec(finished), source, precision, label)
            finished.rename(path)
        return ConvertedFiles((path,), (NOTE,))

    def open(self, files: Sequence[Path], io_spec: IOSpec, threads: int = 1) -> Embedder:
        """Open the folder on macOS; Core ML chooses its number of threads itself. See `Target.open`."""
        if platform.system() != "Darwin":
            raise RuntimeUnavailableError(f"Core ML runs on macOS, not on {platform.system()}")
        self.check_installed()
        return CoreMLEmbedder(files, io_spec)


class CoreMLEmbedder(Embedder):
    """A face model in an ``.mlpackage``, run on the CPU of macOS, one image after the other.

    Args:
        files: the folder, as the only element.
        io_spec: the input and output of the folder.

    Raises:
        ExportError: the path is not an ``.mlpackage``, is of another network, or macOS refuses it.
    """

    def __init__(self, files: Sequence[Path], io_spec: IOSpec) -> None:
        if len(files) != 1:
            raise ExportError(f"Core ML takes one .mlpackage folder, {len(files)} files were given; give one")
        self.path = files[0]
        self.io_spec = io_spec
        spec = read_spec(self.path)
        if spec.shape != (1, 3, io_spec.size, io_spec.size) or spec.dimension != io_spec.dimension:
            raise ExportError(
                f"{self.path} takes {list(spec.shape)} and gives {spec.dimension} numbers, "
                f"{[1, 3, io_spec.size, io_spec.size]} and {io_spec.dimension} were expected; export it again"
            )
        self.input = spec.input
        self.output = spec.output
        self.name = self.path.stem
        self.size = io_spec.size
        self.dimension = io_spec.dimension
        self.fingerprint = _fingerprint(self.path)
        try:
            with suppress_output():
                import coremltools

                self.model: Any = coremltools.models.MLModel(
                    str(self.path), compute_units=coremltools.ComputeUnit.CPU_ONLY
                )
        except Exception as error:  # errors of macOS reach Python as several classes
            raise ExportError(f"{self.path} cannot be loaded by Core ML ({error}); export it again") from error

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute embeddings, float32 [batch, dimension], not normalized; see `Embedder.forward`."""
        features = np.empty((len(crops), self.dimension), np.float32)
        for index, image in enumerate(self.io_spec.format.preprocess(crops)):
            features[index] = np.asarray(self.model.predict({self.input: image[None]})[self.output]).reshape(-1)
        return features


def read_spec(path: Path) -> CoreMLSpec:
    """Read the description of an ``.mlpackage``; this works on every operating system.

    Raises:
        ExportError: the path is not an ``.mlpackage`` of an ML program with one function, one input and one output.
    """
    with suppress_output():
        import coremltools
        from coremltools.proto import MIL_pb2

    try:
        spec = coremltools.utils.load_spec(str(path))
        (program_input,) = spec.description.input
        (program_output,) = spec.description.output
        (function,) = spec.mlProgram.functions.values()
    except Exception as error:  # missing, not a folder, truncated: each raises another class
        raise ExportError(f"{path} cannot be read as a Core ML package ({error}); export it again") from error
    operations = list(function.block_specializations[function.opset].operations)
    storage_types = {
        MIL_pb2.DataType.Name(operation.attributes["val"].type.tensorType.dataType)
        for operation in operations
        if operation.type == "const" and operation.attributes["val"].WhichOneof("value") == "blobFileValue"
    }
    return CoreMLSpec(
        program_input.name, tuple(program_input.type.multiArrayType.shape),
        program_output.name, program_output.type.multiArrayType.shape[-1],
        "+".join(sorted(STORAGE_NAMES.get(name, name) for name in storage_types)),
        sum(operation.type != "const" for operation in operations), spec.specificationVersion,
    )


def _convert(source: ExportSource, precision: Precision, raw: Path, finished: Path) -> None:
    """Convert a source to the folder ``finished``; ``raw`` is a scratch folder of the converter."""
    import coremltools as ct

    shape = (1, 3, source.spec.size, source.spec.size)
    compute_precision: Any = ct.precision.FLOAT32
    if precision == "fp16":
        compute_precision = ct.transform.FP16ComputePrecision(
            op_selector=lambda operation: operation.op_type not in NORMALIZATION_OPERATORS
        )
    model = ct.convert(
        torch.jit.trace(source.export_module(split_prelu=False), torch.zeros(shape)),  # type: ignore[no-untyped-call]
        inputs=[ct.TensorType(name=INPUT, shape=shape, dtype=np.float32)],
        outputs=[ct.TensorType(name=OUTPUT, dtype=np.float32)],  # float32 in every precision
        convert_to="mlprogram", minimum_deployment_target=getattr(ct.target, DEPLOYMENT_TARGET),
        compute_precision=compute_precision, package_dir=str(raw), skip_model_load=True,
    )
    scaling = "0 to 255" if source.format.input_dtype == "uint8" else "(x - 127.5) / 127.5"
    model.short_description = f"Face recognition: the cosine of two embeddings. {NOTE}"
    model.input_description[INPUT] = f"An aligned face, RGB, {scaling}, [1, 3, size, size]"
    model.output_description[OUTPUT] = f"The embedding{', of unit length' if source.format.l2_normalized else ''}"
    model.save(str(finished))


def _check(spec: CoreMLSpec, source: ExportSource, precision: Precision, label: str) -> None:
    """Raise an ExportError if the written folder is not what was requested."""
    shape = (1, 3, source.spec.size, source.spec.size)
    written = (spec.input, spec.shape, spec.output, spec.dimension, spec.weights)
    if written != (INPUT, shape, OUTPUT, source.spec.outputs, precision):
        raise ExportError(f"{label}: coremltools wrote {spec}, which is not what was requested; try another version")


def _fingerprint(path: Path) -> str:
    """Return the SHA-256 of all files under ``Data``; the manifest next to it contains random identifiers."""
    digest = hashlib.sha256()
    for file in sorted((path / "Data").rglob("*")):
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()
