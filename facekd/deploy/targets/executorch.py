"""ExecuTorch with XNNPACK: one ``.pte`` file with a dynamic batch, float32 or int8."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from facekd.deploy.quiet import quiet
from facekd.deploy.source import Interface, Source
from facekd.deploy.targets.base import Made, Precision, Target, converting, register
from facekd.deploy.targets.one_file import OneFileEmbedder
from facekd.errors import ExportError
from facekd.models.embedder import Embedder
from facekd.utils import files as disk

BATCH = 16
"""Most images in one run. The file plans memory for this many, 0.15 MB an image at 112 pixels, even if one is given."""
TORCH = {"1.5": "2.13"}
"""The torch that a release of ExecuTorch was built against; its package does not say so itself."""


@register
class ExecuTorchTarget(Target):
    """ExecuTorch's runtime with the XNNPACK delegate; PReLU stays as it is, since XNNPACK has a kernel for it."""

    name = "executorch"
    precisions = ("fp32", "int8")
    modules: ClassVar[dict[str, str]] = {"executorch": "executorch"}
    extra = "executorch"
    runtime = "executorch.extension.pybindings.portable_lib"
    device = (
        "# an executor_runner built for Android with XNNPACK that knows --input_shapes (pull request 22411);\n"
        f"# without that option it would run {BATCH} images at once\n"
        "adb push executor_runner {files} /data/local/tmp/\n"
        'adb shell "cd /data/local/tmp && chmod +x executor_runner && ./executor_runner --model_path={files} '
        '--input_shapes=1x3x{size}x{size} --num_executions=100 --cpu_threads={threads}" 2>&1'
    )

    def demand(self) -> None:
        """Raise an ExportError unless ExecuTorch is installed beside the torch it was built against."""
        super().demand()
        version = metadata.version("executorch")
        wanted = TORCH.get(".".join(version.split(".")[:2]))
        if wanted and not torch.__version__.startswith(f"{wanted}."):
            raise ExportError(
                f"executorch {version} was built for torch {wanted}, torch {torch.__version__} is installed: "
                f"pip install 'torch=={wanted}.*' in an environment of its own"
            )
        try:
            with quiet():
                import executorch.runtime  # noqa: F401
        except ImportError as error:
            raise ExportError(
                f"executorch {version} cannot be loaded beside torch {torch.__version__} ({error}): "
                "pip install 'facekd[executorch]' in an environment of its own"
            ) from error

    def convert(self, source: Source, precision: Precision, folder: Path) -> Made:
        """Write ``NAME.pte`` or ``NAME.int8.pte``; see `Target.convert`."""
        self.demand()
        self.demand_precision(precision)
        graph = source.graph(split_prelu=False)
        crops = source.ranges(self.name) if precision == "int8" else None
        with converting(source, self.name, precision):
            content = _lower(graph if crops is None else _quantise(graph, source, crops), source.spec.size)
        path = folder / f"{source.stem(precision)}.pte"
        disk.write_bytes(path, content)
        notes = [f"{path.name} takes 1 to {BATCH} images at once, contiguous [batch, 3, size, size] float32."]
        if crops is not None:
            notes.append(f"{path.name}: int8 weights per channel and int8 activations, set by {len(crops)} crops.")
        return Made((path,), tuple(notes))

    def open(self, files: Sequence[Path], interface: Interface, threads: int = 1) -> Embedder:
        """A ``.pte`` file as an embedder; see `Target.open`. Threads are set for the whole process."""
        self.demand()
        return ExecuTorchEmbedder(files[0], interface, threads)


class ExecuTorchEmbedder(OneFileEmbedder):
    """A face model in one ``.pte`` file.

    Args:
        path: the file.
        interface: how it is talked to.
        threads: of XNNPACK's pool, which all files of this process share.

    Raises:
        ExportError: absent, not such a file, or one of another size or dimension.
    """

    def __init__(self, path: Path, interface: Interface, threads: int = 1) -> None:
        super().__init__(path, interface)
        try:
            with quiet():
                from executorch.extension.pybindings import portable_lib
                from executorch.runtime import Runtime

                portable_lib._unsafe_reset_threadpool(threads)
                self.program = Runtime.get().load_program(path)  # kept: the method reads from it
                self.method: Any = self.program.load_method("forward")
                taken = tuple(self.method.metadata.input_tensor_meta(0).sizes())
                given = tuple(self.method.metadata.output_tensor_meta(0).sizes())
        except (RuntimeError, IndexError, KeyError) as error:
            raise ExportError(f"{path} cannot be opened by ExecuTorch ({error}); export it again") from error
        self.batch = int(taken[0])
        self.demand_shapes(taken, (self.batch, *given[1:]), self.batch)

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw embeddings, float32 [batch, dimension]; see `Embedder.forward`."""
        if crops.shape[1:] != (self.size, self.size, 3):  # the runtime would take smaller ones and give nonsense
            raise ExportError(f"{self.path} takes crops [batch, {self.size}, {self.size}, 3], not {list(crops.shape)}")
        features = np.empty((len(crops), self.dimension), np.float32)
        for start in range(0, len(crops), self.batch):
            pixels = torch.from_numpy(self.form.preprocess(crops[start : start + self.batch]))
            try:
                output = self.method.execute((pixels,))[0]
            except RuntimeError as error:
                raise ExportError(f"{self.path} fails on {list(pixels.shape)} ({error}); export it again") from error
            features[start : start + self.batch] = output.numpy()
        return features


def _trace(graph: nn.Module, size: int) -> torch.export.ExportedProgram:
    example = torch.zeros(2, 3, size, size)  # two: torch.export takes a batch of one for a constant
    return torch.export.export(
        graph, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=BATCH)},)
    )


def _quantise(graph: nn.Module, source: Source, crops: NDArray[np.uint8]) -> nn.Module:
    """Static int8, one scale a channel of the weights; ranges of activations from histograms, not from the extremes."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    watched = prepare_pt2e(_trace(graph, source.spec.size).module(), quantizer)
    with torch.no_grad():
        for start in range(0, len(crops), BATCH):
            watched(torch.from_numpy(source.form.preprocess(crops[start : start + BATCH])))
    quantised: nn.Module = convert_pt2e(watched)
    return quantised


def _lower(graph: nn.Module, size: int) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    lowered = to_edge_transform_and_lower(_trace(graph, size), partitioner=[XnnpackPartitioner()])
    return bytes(lowered.to_executorch().buffer)
