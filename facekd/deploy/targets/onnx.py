"""ONNX files, run by ONNX Runtime and by InsightFace."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import onnx

from facekd.deploy.onnx.graph import WEIGHTED_OPERATORS, export_graph, insightface_notes, sort_nodes, write_metadata
from facekd.deploy.onnx.quantize import FloatLayers, quantize_static_int8
from facekd.deploy.source import ExportSource, IOSpec
from facekd.deploy.suppress_output import suppress_output
from facekd.deploy.targets.base import ConvertedFiles, Precision, Target, register
from facekd.errors import ExportError, FacekdError, ModelError
from facekd.io.files import atomic_write
from facekd.io.onnx_file import read_model
from facekd.models.input_format import InputFormat
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.onnx_input import takes_raw_by_names


@register
class OnnxTarget(Target):
    """One file a precision with a dynamic batch; input and output are float32 in every precision.

    PReLU is replaced by the equal form that ONNX Runtime runs faster, see `replace_prelu`.

    Args:
        float_layers: the layers of int8 files that stay in float32, see `quantize_static_int8`.
    """

    name = "onnx"
    precisions = ("fp32", "fp16", "int8")
    int8_weight_max = 64  # 7 bits, see `quantize_static_int8`
    required_packages: ClassVar[dict[str, str]] = {
        "onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime",
    }
    runtime = "onnxruntime"
    device_command = "onnxruntime_perf_test -I -m times -r 200 -x {threads} {files}"

    def __init__(self, float_layers: FloatLayers = "none") -> None:
        self.float_layers: FloatLayers = float_layers
        self._last_graph: tuple[ExportSource, bytes] | None = None

    def convert(self, source: ExportSource, precision: Precision, folder: Path) -> ConvertedFiles:
        """Write ``NAME.onnx``, ``NAME.fp16.onnx`` or ``NAME.int8.onnx``; see `Target.convert`.

        int8 ranges are set on all calibration crops of the source.
        """
        if precision == "int8":
            source.require_calibration(self.name)  # fails before the graph is traced, which takes long
        path = folder / f"{source.file_stem(precision)}.onnx"
        with atomic_write(path) as temporary, _conversion_errors(source, precision):
            proto = self._float_graph(source)
            if precision == "fp16":
                proto = to_float16(proto)
            elif precision == "int8":
                proto = self._quantize(proto, source)
            sort_nodes(proto.graph)
            write_metadata(proto, source)
            temporary.write_bytes(proto.SerializeToString(deterministic=True))
            embedder = _open(temporary, source.io_spec)
            if precision == "fp32" and embedder.batch_size == 1:
                raise ExportError("its graph gives other embeddings for a batch of two images")
        return ConvertedFiles((path,), tuple(insightface_notes(source.spec.size)))

    def open(self, files: Sequence[Path], io_spec: IOSpec, threads: int = 1) -> OnnxEmbedder:
        """Open an ONNX file; see `Target.open`."""
        return _open(files[0], io_spec, threads)

    def _float_graph(self, source: ExportSource) -> onnx.ModelProto:
        """Return the float32 graph; the last one is cached, since tracing takes longer than everything else."""
        if self._last_graph is None or self._last_graph[0] is not source:
            self._last_graph = source, export_graph(source).SerializeToString()
        return onnx.load_from_string(self._last_graph[1])

    def _quantize(self, proto: onnx.ModelProto, source: ExportSource) -> onnx.ModelProto:
        with tempfile.TemporaryDirectory() as folder:
            float_path = Path(folder) / "float.onnx"
            int8_path = Path(folder) / "int8.onnx"
            float_path.write_bytes(proto.SerializeToString())
            crops = source.require_calibration(self.name)
            quantize_static_int8(float_path, int8_path, crops, source.format.preprocess, self.float_layers)
            return onnx.load(str(int8_path))


def to_float16(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Convert weights and arithmetic of a graph to float16; input and output stay float32. Modifies ``proto``.

    The nodes after the last layer stay in float32: the sum of squares of an embedding overflows float16 from a length
    of 256 on, and the smallest length that `torch.nn.functional.normalize` divides by is 0 in float16.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    nodes = list(proto.graph.node)
    last = max((i for i, node in enumerate(nodes) if node.op_type in WEIGHTED_OPERATORS), default=len(nodes) - 1)
    with suppress_output():
        converted: onnx.ModelProto = convert_float_to_float16(
            proto, keep_io_types=True, node_block_list=[node.name for node in nodes[last + 1 :]]
        )
    graph = converted.graph
    # The converter writes a cast that two nodes read twice, and wrong types of the values that stay in float32.
    unique_nodes = {node.name: copy.deepcopy(node) for node in graph.node}
    del graph.node[:], graph.value_info[:]
    graph.node.extend(unique_nodes.values())
    return converted


def _open(file: Path, io_spec: IOSpec, threads: int = 1) -> OnnxEmbedder:
    """Open a file and check that it is what InsightFace and the IOSpec expect."""
    try:
        embedder = OnnxEmbedder(file, size=io_spec.size, threads=threads, as_written=True)
    except ModelError as error:
        raise ExportError(str(error)) from error
    if embedder.has_fixed_batch:
        raise ExportError(
            f"{file} runs {embedder.batch_size} images at a time, a dynamic batch is needed; export it again"
        )
    if embedder.dimension != io_spec.dimension:
        raise ExportError(f"{file} gives {embedder.dimension} numbers, not {io_spec.dimension}; check the path")
    pixels = "raw" if io_spec.format.input_dtype == "uint8" else "unit"
    if embedder.input_format != InputFormat(pixels):
        raise ExportError(f"{file} takes {embedder.input_format.describe()} by its graph, not "
                          f"{InputFormat(pixels).describe()}; export it again")
    if takes_raw_by_names(read_model(file).graph) != (pixels == "raw"):
        other = InputFormat("unit" if pixels == "raw" else "raw").describe()
        raise ExportError(f"{file} is fed {other} by InsightFace, which goes by the first nodes' names; rename them")
    return embedder


@contextmanager
def _conversion_errors(source: ExportSource, precision: Precision) -> Iterator[None]:
    """Turn exceptions of converters into an ExportError of one sentence; an OSError of the disk propagates."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        if not isinstance(error, FacekdError):
            reason = f"{type(error).__name__}: {reason.splitlines()[0]}; try another version of torch or onnxruntime"
        raise ExportError(f"{source.spec.name} could not be converted to ONNX in {precision}: {reason}") from error
