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

from facekd.deploy.source import ExportSource, IOSpec
from facekd.deploy.suppress_output import suppress_output
from facekd.deploy.targets.base import register
from facekd.deploy.targets.single_file import SingleFileEmbedder, SingleFileTarget
from facekd.errors import ExportError
from facekd.models.embedder import Embedder

MAX_BATCH = 16
"""Largest batch. The file always allocates memory for this many images, 0.15 MB an image at 112 pixels."""
REQUIRED_TORCH = {"1.5": "2.13"}
"""The torch version that a release of ExecuTorch was built against; its package does not declare it."""


@register
class ExecuTorchTarget(SingleFileTarget):
    """ExecuTorch's runtime with the XNNPACK delegate; PReLU is kept, since XNNPACK has a kernel for it."""

    name = "executorch"
    suffix = "pte"
    precisions = ("fp32", "int8")
    required_packages: ClassVar[dict[str, str]] = {"executorch": "executorch"}
    extra = "executorch"
    runtime = "executorch.extension.pybindings.portable_lib"
    device_command = (
        "# an executor_runner built for Android with XNNPACK that knows --input_shapes (pull request 22411);\n"
        f"# without that option it would run {MAX_BATCH} images at once\n"
        "adb push executor_runner {files} /data/local/tmp/\n"
        'adb shell "cd /data/local/tmp && chmod +x executor_runner && ./executor_runner --model_path={files} '
        '--input_shapes=1x3x{size}x{size} --num_executions=100 --cpu_threads={threads}" 2>&1'
    )

    def check_installed(self) -> None:
        """Raise an ExportError if ExecuTorch, or the torch version it was built against, is not installed."""
        super().check_installed()
        version = metadata.version("executorch")
        required = REQUIRED_TORCH.get(".".join(version.split(".")[:2]))
        if required and not torch.__version__.startswith(f"{required}."):
            raise ExportError(
                f"executorch {version} was built for torch {required}, torch {torch.__version__} is installed: "
                f"pip install 'torch=={required}.*' in an environment of its own"
            )
        try:
            with suppress_output():
                import executorch.runtime  # noqa: F401
        except ImportError as error:
            raise ExportError(
                f"executorch {version} cannot be loaded together with torch {torch.__version__} ({error}): "
                "pip install 'facekd[executorch]' in an environment of its own"
            ) from error

    def lower(self, source: ExportSource, crops: NDArray[np.uint8] | None) -> bytes:
        """Return the content of the ``.pte`` file; see `SingleFileTarget.lower`."""
        module = source.export_module(split_prelu=False)
        if crops is not None:
            module = _quantize(module, source, crops)
        return _lower(module, source.spec.size)

    def notes(self, name: str, crops: NDArray[np.uint8] | None) -> tuple[str, ...]:
        """Return the notes on the ``.pte`` file; see `SingleFileTarget.notes`."""
        batch = f"{name} takes 1 to {MAX_BATCH} images at once, contiguous [batch, 3, size, size] float32."
        if crops is None:
            return (batch,)
        return batch, f"{name}: int8 weights per channel and int8 activations, set by {len(crops)} crops."

    def open(self, files: Sequence[Path], io_spec: IOSpec, threads: int = 1) -> Embedder:
        """Open a ``.pte`` file; see `Target.open`. The number of threads applies to the whole process."""
        self.check_installed()
        return ExecuTorchEmbedder(files[0], io_spec, threads)


class ExecuTorchEmbedder(SingleFileEmbedder):
    """A face model in one ``.pte`` file.

    Args:
        path: the file.
        io_spec: the input and output of the file.
        threads: number of threads of XNNPACK's pool, which all files of this process share.

    Raises:
        ExportError: the file does not exist, is not a ``.pte`` file, or has another size or dimension.
    """

    def __init__(self, path: Path, io_spec: IOSpec, threads: int = 1) -> None:
        super().__init__(path, io_spec)
        try:
            with suppress_output():
                from executorch.extension.pybindings import portable_lib
                from executorch.runtime import Runtime

                portable_lib._unsafe_reset_threadpool(threads)
                self.program = Runtime.get().load_program(path)  # an attribute, because the method reads from it
                self.method: Any = self.program.load_method("forward")
                input_shape = tuple(self.method.metadata.input_tensor_meta(0).sizes())
                output_shape = tuple(self.method.metadata.output_tensor_meta(0).sizes())
        except (RuntimeError, IndexError, KeyError) as error:
            raise ExportError(f"{path} cannot be opened by ExecuTorch ({error}); export it again") from error
        self.batch_size = int(input_shape[0])
        self.check_shapes(input_shape, (self.batch_size, *output_shape[1:]), self.batch_size)

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute embeddings, float32 [batch, dimension], not normalized; see `Embedder.forward`."""
        if crops.shape[1:] != (self.size, self.size, 3):  # the runtime would accept smaller ones and compute garbage
            raise ExportError(f"{self.path} takes crops [batch, {self.size}, {self.size}, 3], not {list(crops.shape)}")
        features = np.empty((len(crops), self.dimension), np.float32)
        for start in range(0, len(crops), self.batch_size):
            pixels = torch.from_numpy(self.format.preprocess(crops[start : start + self.batch_size]))
            try:
                output = self.method.execute((pixels,))[0]
            except RuntimeError as error:
                raise ExportError(f"{self.path} fails on {list(pixels.shape)} ({error}); export it again") from error
            features[start : start + self.batch_size] = output.numpy()
        return features


def _trace(module: nn.Module, size: int) -> torch.export.ExportedProgram:
    example = torch.zeros(2, 3, size, size)  # two images: torch.export treats a batch of one as a constant
    return torch.export.export(
        module, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=MAX_BATCH)},)
    )


def _quantize(module: nn.Module, source: ExportSource, crops: NDArray[np.uint8]) -> nn.Module:
    """Quantize to static int8: one scale a channel for weights; histograms, not extremes, set activation ranges."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    observed = prepare_pt2e(_trace(module, source.spec.size).module(), quantizer)
    with torch.no_grad():
        for start in range(0, len(crops), MAX_BATCH):
            observed(torch.from_numpy(source.format.preprocess(crops[start : start + MAX_BATCH])))
    quantized: nn.Module = convert_pt2e(observed)
    return quantized


def _lower(module: nn.Module, size: int) -> bytes:
    """Delegate a module to XNNPACK and return the program."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    lowered = to_edge_transform_and_lower(_trace(module, size), partitioner=[XnnpackPartitioner()])
    return bytes(lowered.to_executorch().buffer)
