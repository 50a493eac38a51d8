"""ncnn, Tencent's runtime for phones: a text file with the graph and a binary one with the weights, made by pnnx."""

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

from facekd.deploy.quiet import quiet
from facekd.deploy.source import Interface, Source
from facekd.deploy.targets.base import Made, Precision, Target, register
from facekd.errors import ExportError
from facekd.models.embedder import Embedder
from facekd.utils import files as disk

MAGIC = "7767517"
HALF = (0x01306B47).to_bytes(4, "little")
"""What stands before an array of halves in a ``.bin`` file, the first of which holds a convolution's weights."""


@dataclass(frozen=True)
class Param:
    """What a ``.param`` file says.

    Attributes:
        input: the blob that takes the pixels.
        output: the blob that gives the embedding.
        layers: the kinds of layers, in their order.
    """

    input: str
    output: str
    layers: tuple[str, ...]


@register
class NcnnTarget(Target):
    """ncnn: its own fast PReLU, one face at a time."""

    name = "ncnn"
    precisions = ("fp32", "fp16")
    modules: ClassVar[dict[str, str]] = {"ncnn": "ncnn", "pnnx": "pnnx"}
    extra = "ncnn"
    runtime = "ncnn"
    # benchncnn wants the first file only (it makes up weights), and its arguments are loops, threads, cores (2: the big
    # ones), GPU (-1: none), cooling down; the shape is width, height, channels; it prints on stderr.
    weightless = True
    device = (
        "# reads the graph alone and computes in fp16 where the phone can: one figure for all precisions\n"
        "set -- {files}\n"
        'adb push benchncnn "$1" /data/local/tmp/\n'
        'adb shell "cd /data/local/tmp && chmod +x benchncnn && '
        "./benchncnn 100 {threads} 2 -1 0 'param=$(basename \"$1\")' 'shape=[{size},{size},3]'\" 2>&1"
    )

    def convert(self, source: Source, precision: Precision, folder: Path) -> Made:
        """Write ``NAME.ncnn.param`` and ``NAME.ncnn.bin``, or ``NAME.fp16.ncnn…``; see `Target.convert`."""
        self.demand()
        what = f"{source.spec.name} for ncnn in {precision}"
        if precision not in self.precisions:
            raise ExportError(f"{what}: pnnx writes {' and '.join(self.precisions)} only; choose one of these")
        with tempfile.TemporaryDirectory() as scratch:  # pnnx leaves nine files
            graph, weights = _pnnx(source, what, precision == "fp16", Path(scratch))
            _check_layers(read_param(graph), what)
            stem = folder / source.stem(precision)
            made = Path(f"{stem}.ncnn.param"), Path(f"{stem}.ncnn.bin")
            disk.write_bytes(made[0], graph.read_bytes())
            disk.write_bytes(made[1], weights.read_bytes())
        return Made(made)

    def open(self, files: Sequence[Path], interface: Interface, threads: int = 1) -> Embedder:
        """The two files as an embedder; see `Target.open`."""
        self.demand()
        return NcnnEmbedder(files, interface, threads)


class NcnnEmbedder(Embedder):
    """A face model in ncnn's two files, run on the processor, one image after the other.

    Args:
        files: the ``.param`` and the ``.bin`` file.
        interface: how they are talked to.
        threads: threads inside one layer.

    Raises:
        ExportError: absent, damaged, of a version this ncnn does not read, or with another output.
    """

    def __init__(self, files: Sequence[Path], interface: Interface, threads: int) -> None:
        import ncnn

        if len(files) != 2:
            raise ExportError(f"ncnn wants a .param and a .bin file, {len(files)} were given; give both")
        graph, weights = self.files = tuple(files)
        self.param, self.interface = read_param(graph), interface
        _check_layers(self.param, str(graph))
        try:
            content = weights.read_bytes()
        except OSError as error:
            raise ExportError(f"{weights} cannot be read ({error}); it belongs to {graph}, copy it there") from error
        self.name, self.size, self.dimension = graph.stem, interface.size, interface.dimension
        self.fingerprint = hashlib.sha256(graph.read_bytes() + content).hexdigest()
        self.ncnn, self.net = ncnn, ncnn.Net()
        self.net.opt.num_threads = threads
        self.net.opt.use_vulkan_compute = False
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
            setattr(self.net.opt, option, content[:4] == HALF)  # by default float files are computed in halves as well
        if self.net.load_param(str(graph)) or self.net.load_model(str(weights)):
            raise ExportError(f"{weights} does not fit {graph}, or one of them is cut short; export them again")
        found = self.forward(np.zeros((1, self.size, self.size, 3), np.uint8)).shape[1]
        if found != self.dimension:
            raise ExportError(f"{graph} gives {found} numbers, not {self.dimension}; it is of another network")

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw embeddings, float32 [batch, dimension]; see `Embedder.forward`."""
        pixels = self.interface.form.preprocess(crops)
        return np.stack([self._run(image) for image in pixels]) if len(crops) else np.empty((0, self.dimension), "f4")

    def _run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        image = self.ncnn.Mat(pixels).clone()  # a Mat borrows the array's memory; the clone has its own
        extractor = self.net.create_extractor()
        code = extractor.input(self.param.input, image)
        failed, features = (code, None) if code else extractor.extract(self.param.output)
        if failed:
            size = self.size
            raise ExportError(f"{self.files[0]} fails on {size}x{size} pixels (code {failed}); export it again")
        return np.array(features, np.float32).reshape(-1)  # copied while the extractor, its owner, lives


def read_param(path: Path) -> Param:
    """What a ``.param`` file says: a magic number, counts, then a layer a line as kind, name, inputs and outputs.

    Raises:
        ExportError: absent, not such a file, or a graph with more than one input or output.
    """
    try:
        magic, _, *lines = path.read_text(encoding="ascii").splitlines()
        rows = [line.split() for line in lines if line.strip()]
        blobs = [(row[0], row[4 : 4 + int(row[2])], row[4 + int(row[2]) :][: int(row[3])]) for row in rows]
    except (OSError, ValueError, IndexError) as error:
        raise ExportError(f"{path} cannot be read as an ncnn graph ({error}); export it again") from error
    if magic.strip() != MAGIC:
        raise ExportError(f"{path} is not an ncnn graph: its first line is not {MAGIC}; give the .param file first")
    consumed = {blob for _, taken, _ in blobs for blob in taken}
    inputs = [blob for kind, _, given in blobs for blob in given if kind == "Input"]
    outputs = [blob for _, _, given in blobs for blob in given if blob not in consumed]
    if len(inputs) != 1 or len(outputs) != 1:
        raise ExportError(f"{path} has {len(inputs)} inputs and {len(outputs)} outputs, a face model has one of each")
    return Param(inputs[0], outputs[0], tuple(kind for kind, _, _ in blobs))


def _pnnx(source: Source, what: str, half: bool, scratch: Path) -> tuple[Path, Path]:
    """Run the converter in a folder of its own; its program is called, as `pnnx.export` runs Python that it wrote."""
    import pnnx

    traced, size = scratch / "graph.pt", source.spec.size
    try:
        with quiet():
            example = torch.zeros(1, 3, size, size)
            torch.jit.trace(source.graph(split_prelu=False), example).save(str(traced))  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever the network's code raises on a tracer's input
        raise ExportError(f"{what}: it cannot be traced ({_line(str(error))}); export to another target") from error
    told = subprocess.run(
        [pnnx.EXEC_PATH, str(traced), f"inputshape=[1,3,{size},{size}]f32", f"fp16={int(half)}"],
        cwd=scratch, capture_output=True, text=True, errors="replace", check=False,
    )
    graph, weights = scratch / "graph.ncnn.param", scratch / "graph.ncnn.bin"
    if told.returncode or not (graph.is_file() and weights.is_file()):
        why = f"code {told.returncode}: {_line(told.stderr)}"
        raise ExportError(f"{what}: pnnx failed ({why}); try another version of pnnx")
    return graph, weights


def _check_layers(param: Param, what: str) -> None:
    """Raise an ExportError if there are layers that this ncnn does not have; pnnx writes them in all the same."""
    import ncnn

    absent = sorted({kind for kind in param.layers if ncnn.layer_to_index(kind) < 0})
    if absent:
        raise ExportError(f"{what}: ncnn {ncnn.__version__} has no layer {', '.join(absent)}; export to another target")


def _line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
