"""ncnn, Tencent's runtime for phones: pnnx writes a text file with the graph and a binary file with the weights."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from facekd.deploy.source import ExportSource, IOSpec
from facekd.deploy.suppress_output import suppress_output
from facekd.deploy.targets.base import ConvertedFiles, Precision, Target, register
from facekd.errors import ExportError
from facekd.io import files as disk
from facekd.models.embedder import Embedder

MAGIC = "7767517"
FLOAT16_TAG = (0x01306B47).to_bytes(4, "little")
"""The tag before a float16 array in a ``.bin`` file, whose first array holds the weights of a convolution."""


@dataclass(frozen=True)
class NcnnGraph:
    """The content of a ``.param`` file.

    Attributes:
        input: the blob that takes the pixels.
        output: the blob that gives the embedding.
        layers: the types of the layers in their order.
    """

    input: str
    output: str
    layers: tuple[str, ...]


@register
class NcnnTarget(Target):
    """ncnn: its own fast PReLU, one face at a time."""

    name = "ncnn"
    precisions = ("fp32", "fp16")
    required_packages: ClassVar[dict[str, str]] = {"ncnn": "ncnn", "pnnx": "pnnx"}
    extra = "ncnn"
    runtime = "ncnn"
    # benchncnn takes the .param file only (it makes up weights). Its arguments are loops, threads, cores (2: the big
    # ones), GPU (-1: none) and cooling down; the shape is width, height, channels; it prints to stderr.
    times_graph_only = True
    device_command = (
        "# reads the graph alone and computes in fp16 where the phone can: one figure for all precisions\n"
        "set -- {files}\n"
        'adb push benchncnn "$1" /data/local/tmp/\n'
        'adb shell "cd /data/local/tmp && chmod +x benchncnn && '
        "./benchncnn 100 {threads} 2 -1 0 'param=$(basename \"$1\")' 'shape=[{size},{size},3]'\" 2>&1"
    )

    def convert(self, source: ExportSource, precision: Precision, folder: Path) -> ConvertedFiles:
        """Write ``NAME.ncnn.param`` and ``NAME.ncnn.bin``, or ``NAME.fp16.ncnn…``; see `Target.convert`."""
        self.check_installed()
        label = f"{source.spec.name} for ncnn in {precision}"
        if precision not in self.precisions:
            raise ExportError(f"{label}: pnnx writes {' and '.join(self.precisions)} only; choose one of these")
        with tempfile.TemporaryDirectory() as scratch:  # pnnx leaves nine files
            graph, weights = _run_pnnx(source, label, precision == "fp16", Path(scratch))
            _check_layers(read_param(graph), label)
            stem = folder / source.file_stem(precision)
            param_path = Path(f"{stem}.ncnn.param")
            bin_path = Path(f"{stem}.ncnn.bin")
            disk.write_bytes(param_path, graph.read_bytes())
            disk.write_bytes(bin_path, weights.read_bytes())
        return ConvertedFiles((param_path, bin_path))

    def open(self, files: Sequence[Path], io_spec: IOSpec, threads: int = 1) -> Embedder:
        """Open the two files; see `Target.open`."""
        self.check_installed()
        return NcnnEmbedder(files, io_spec, threads)


class NcnnEmbedder(Embedder):
    """A face model in ncnn's two files, run on the CPU, one image after the other.

    Args:
        files: the ``.param`` and the ``.bin`` file.
        io_spec: the input and output of the files.
        threads: number of threads inside one layer.

    Raises:
        ExportError: a file is missing, damaged or of a version this ncnn does not read, or has another output.
    """

    def __init__(self, files: Sequence[Path], io_spec: IOSpec, threads: int) -> None:
        import ncnn

        if len(files) != 2:
            raise ExportError(f"ncnn takes a .param and a .bin file, {len(files)} were given; give both")
        param_path, bin_path = files
        self.files = tuple(files)
        self.graph = read_param(param_path)
        self.io_spec = io_spec
        _check_layers(self.graph, str(param_path))
        try:
            content = bin_path.read_bytes()
        except OSError as error:
            raise ExportError(
                f"{bin_path} cannot be read ({error}); it belongs to {param_path}, copy it next to that file"
            ) from error
        self.name = param_path.stem
        self.size = io_spec.size
        self.dimension = io_spec.dimension
        self.fingerprint = hashlib.sha256(param_path.read_bytes() + content).hexdigest()
        self.ncnn = ncnn
        self.net = ncnn.Net()
        self.net.opt.num_threads = threads
        self.net.opt.use_vulkan_compute = False
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
            setattr(self.net.opt, option, content[:4] == FLOAT16_TAG)  # ncnn's default is float16 for float32 files too
        if self.net.load_param(str(param_path)) or self.net.load_model(str(bin_path)):
            raise ExportError(f"{bin_path} does not fit {param_path}, or one of them is truncated; export them again")
        dimension = self.forward(np.zeros((1, self.size, self.size, 3), np.uint8)).shape[1]
        if dimension != self.dimension:
            raise ExportError(f"{param_path} gives {dimension} numbers, not {self.dimension}; it is of another network")

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute embeddings, float32 [batch, dimension], not normalized; see `Embedder.forward`."""
        rows = [self._run(image) for image in self.io_spec.format.preprocess(crops)]
        return np.stack(rows) if rows else np.empty((0, self.dimension), np.float32)

    def _run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        image = self.ncnn.Mat(pixels).clone()  # a Mat borrows the array's memory; the clone owns its memory
        extractor = self.net.create_extractor()
        code = extractor.input(self.graph.input, image)
        features = None
        if not code:
            code, features = extractor.extract(self.graph.output)
        if code:
            size = self.size
            raise ExportError(f"{self.files[0]} fails on {size}x{size} pixels (code {code}); export it again")
        return np.array(features, np.float32).reshape(-1)  # a copy, made while the extractor that owns them is alive


def read_param(path: Path) -> NcnnGraph:
    """Read a ``.param`` file: a magic number, counts, then one layer a line as type, name, inputs and outputs.

    Raises:
        ExportError: the file is missing, is not a ``.param`` file, or has more than one input or output.
    """
    try:
        magic, _, *lines = path.read_text(encoding="ascii").splitlines()
        rows = [line.split() for line in lines if line.strip()]
        layers = [(row[0], row[4 : 4 + int(row[2])], row[4 + int(row[2]) :][: int(row[3])]) for row in rows]
    except (OSError, ValueError, IndexError) as error:
        raise ExportError(f"{path} cannot be read as an ncnn graph ({error}); export it again") from error
    if magic.strip() != MAGIC:
        raise ExportError(f"{path} is not an ncnn graph: its first line is not {MAGIC}; give the .param file first")
    consumed = {blob for _, layer_inputs, _ in layers for blob in layer_inputs}
    inputs = [blob for kind, _, layer_outputs in layers for blob in layer_outputs if kind == "Input"]
    outputs = [blob for _, _, layer_outputs in layers for blob in layer_outputs if blob not in consumed]
    if len(inputs) != 1 or len(outputs) != 1:
        raise ExportError(f"{path} has {len(inputs)} inputs and {len(outputs)} outputs, a face model has one of each")
    return NcnnGraph(inputs[0], outputs[0], tuple(kind for kind, _, _ in layers))


def _run_pnnx(source: ExportSource, label: str, half: bool, scratch: Path) -> tuple[Path, Path]:
    """Run the converter in a scratch folder and return the paths of its graph and weights.

    Its executable is called directly, because `pnnx.export` executes Python code that it generates.
    """
    import pnnx

    traced = scratch / "graph.pt"
    size = source.spec.size
    try:
        with suppress_output():
            example = torch.zeros(1, 3, size, size)
            module = torch.jit.trace(source.export_module(split_prelu=False), example)  # type: ignore[no-untyped-call]
            module.save(str(traced))
    except Exception as error:  # a tracer can raise whatever the network's code raises
        reason = _last_line(str(error))
        raise ExportError(f"{label}: it cannot be traced ({reason}); export to another target") from error
    process = subprocess.run(
        [pnnx.EXEC_PATH, str(traced), f"inputshape=[1,3,{size},{size}]f32", f"fp16={int(half)}"],
        cwd=scratch, capture_output=True, text=True, errors="replace", check=False,
    )
    graph = scratch / "graph.ncnn.param"
    weights = scratch / "graph.ncnn.bin"
    if process.returncode or not (graph.is_file() and weights.is_file()):
        reason = f"code {process.returncode}: {_last_line(process.stderr)}"
        raise ExportError(f"{label}: pnnx failed ({reason}); try another version of pnnx")
    return graph, weights


def _check_layers(graph: NcnnGraph, label: str) -> None:
    """Raise an ExportError if this ncnn lacks a layer of the graph; pnnx writes such layers without an error."""
    import ncnn

    missing = sorted({kind for kind in graph.layers if ncnn.layer_to_index(kind) < 0})
    if missing:
        raise ExportError(
            f"{label}: ncnn {ncnn.__version__} has no layer {', '.join(missing)}; export to another target"
        )


def _last_line(text: str) -> str:
    """Return the last line that is not empty."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "without a message")
