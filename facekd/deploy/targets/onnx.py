"""ONNX files, run by ONNX Runtime and by InsightFace."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import onnx

from facekd.deploy.onnx.graph import MULTIPLIES, describe, order, routing_notes, trace
from facekd.deploy.onnx.quantize import Keep, static_int8
from facekd.deploy.quiet import quiet
from facekd.deploy.source import Interface, Source
from facekd.deploy.targets.base import Made, Precision, Target, register
from facekd.errors import ExportError, FacekdError, ModelError
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.utils.files import atomic


@register
class OnnxTarget(Target):
    """One file a precision, with a dynamic batch: float32 in and out whatever the precision.

    A PReLU is spelled in the form that ONNX Runtime runs faster.

    Args:
        keep: which layers stay in float in int8 files, see `static_int8`.
    """

    name = "onnx"
    precisions = ("fp32", "fp16", "int8")
    weight_steps = 64  # 7 bits, see `static_int8`
    modules: ClassVar[dict[str, str]] = {"onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime"}
    runtime = "onnxruntime"
    device = "onnxruntime_perf_test -I -m times -r 200 -x {threads} {files}"

    def __init__(self, keep: Keep = "none") -> None:
        self.keep: Keep = keep
        self._traced: tuple[Source, bytes] | None = None

    def convert(self, source: Source, precision: Precision, folder: Path) -> Made:
        """See `Target.convert`; int8 ranges are set on all calibration crops of the source."""
        if precision == "int8":
            source.ranges(self.name)  # refused before the graph is traced, which takes long
        path = folder / f"{source.stem(precision)}.onnx"
        with atomic(path) as temporary, _one_sentence(source, precision):
            proto = self._float(source)
            if precision == "fp16":
                proto = half(proto)
            elif precision == "int8":
                proto = self._int8(proto, source)
            order(proto.graph)
            describe(proto, source)
            temporary.write_bytes(proto.SerializeToString(deterministic=True))
            embedder = _opened(temporary, source.interface)
            if precision == "fp32" and embedder.batch == 1:
                raise ExportError("its graph answers otherwise when it is given two images at once")
        return Made((path,), tuple(routing_notes(source.spec.size)))

    def open(self, files: Sequence[Path], interface: Interface, threads: int = 1) -> OnnxEmbedder:
        """See `Target.open`."""
        return _opened(files[0], interface, threads)

    def _float(self, source: Source) -> onnx.ModelProto:
        """The float32 graph; the last one is remembered, since tracing takes longer than all the rest."""
        if self._traced is None or self._traced[0] is not source:
            self._traced = source, trace(source).SerializeToString()
        return onnx.load_from_string(self._traced[1])

    def _int8(self, proto: onnx.ModelProto, source: Source) -> onnx.ModelProto:
        with tempfile.TemporaryDirectory() as folder:
            whole, quantised = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
            whole.write_bytes(proto.SerializeToString())
            static_int8(whole, quantised, source.ranges(self.name), source.form.preprocess, self.keep)
            return onnx.load(str(quantised))


def half(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A float32 graph with weights and arithmetic in float16, input and output still in float32; changes ``proto``.

    What follows the last layer stays in float32: a sum of squares overflows float16 at a length of 256, and the least
    length that `torch.nn.functional.normalize` allows is 0 in it.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    nodes = list(proto.graph.node)
    last = max((i for i, node in enumerate(nodes) if node.op_type in MULTIPLIES), default=len(nodes) - 1)
    with quiet():
        converted: onnx.ModelProto = convert_float_to_float16(
            proto, keep_io_types=True, node_block_list=[node.name for node in nodes[last + 1 :]]
        )
    graph = converted.graph
    single = {node.name: copy.deepcopy(node) for node in graph.node}  # a cast that two nodes read is written twice
    del graph.node[:], graph.value_info[:]  # the types of what stayed in float32 are wrong in the latter
    graph.node.extend(single.values())
    return converted


def _opened(file: Path, interface: Interface, threads: int = 1) -> OnnxEmbedder:
    try:
        embedder = OnnxEmbedder(file, size=interface.size, threads=threads)
    except ModelError as error:
        raise ExportError(str(error)) from error
    if embedder.fixed:
        raise ExportError(f"{file} runs {embedder.batch} images at a time, a dynamic batch is needed; export it again")
    if embedder.dimension != interface.dimension:
        raise ExportError(f"{file} gives {embedder.dimension} numbers, not {interface.dimension}; check the path")
    if embedder.raw_pixels != (interface.form.pixels == "uint8"):
        fed = "0 to 255" if embedder.raw_pixels else "(x - 127.5) / 127.5"
        raise ExportError(f"{file} is fed {fed} by InsightFace, which goes by the first nodes' names; rename them")
    return embedder


@contextmanager
def _one_sentence(source: Source, precision: Precision) -> Iterator[None]:
    """What a converter raises, as an ExportError that says of what; trouble with the disk passes as it is."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        if not isinstance(error, FacekdError):
            reason = f"{type(error).__name__}: {reason.splitlines()[0]}; try another version of torch or onnxruntime"
        raise ExportError(f"{source.spec.name} could not be made an ONNX file in {precision}: {reason}") from error
