"""LiteRT (TensorFlow Lite): one ``.tflite`` file for one image at a time, float32 or int8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from facekd.deploy.source import ExportSource, IOSpec
from facekd.deploy.suppress_output import suppress_output
from facekd.deploy.targets.base import register
from facekd.deploy.targets.single_file import SingleFileEmbedder, SingleFileTarget
from facekd.errors import ExportError
from facekd.models.embedder import Embedder

SIGNATURE = "serving_default"
INPUT = "args_0"
"""The converter's names of a file's only signature and of its input."""
INT8_OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


@register
class LiteRTTarget(SingleFileTarget):
    """LiteRT's interpreter with its XNNPACK delegate; PReLU is kept, since the converter splits it itself."""

    name = "litert"
    suffix = "tflite"
    precisions = ("fp32", "int8")
    required_packages: ClassVar[dict[str, str]] = {
        "litert_torch": "litert-torch", "ai_edge_litert": "ai-edge-litert", "ai_edge_quantizer": "ai-edge-quantizer",
    }
    extra = "litert"
    runtime = "ai_edge_litert.interpreter"
    device_command = (
        "adb push benchmark_model {files} /data/local/tmp/\n"
        'adb shell "cd /data/local/tmp && chmod +x benchmark_model && ./benchmark_model --graph={files} '
        '--num_threads={threads} --warmup_runs=10 --num_runs=100" 2>&1'
    )

    def lower(self, source: ExportSource, crops: NDArray[np.uint8] | None) -> bytes:
        """Return the content of the ``.tflite`` file; see `SingleFileTarget.lower`."""
        content = _lower(source)
        return content if crops is None else _quantize(content, source, crops)

    def notes(self, name: str, crops: NDArray[np.uint8] | None) -> tuple[str, ...]:
        """Return the notes on the ``.tflite`` file; see `SingleFileTarget.notes`."""
        batch = f"{name} takes one image at a time, [1, 3, size, size] float32."
        if crops is None:
            return (batch,)
        return batch, (
            f"{name}: int8 in convolutions and linear layers (weights per channel, activations set by {len(crops)} "
            "crops), float32 in all other operators and in input and output."
        )

    def open(self, files: Sequence[Path], io_spec: IOSpec, threads: int = 1) -> Embedder:
        """Open a ``.tflite`` file; see `Target.open`."""
        self.check_installed()
        return LiteRTEmbedder(files[0], io_spec, threads)


class LiteRTEmbedder(SingleFileEmbedder):
    """A face model in one ``.tflite`` file.

    Args:
        path: the file.
        io_spec: the input and output of the file.
        threads: number of threads of the interpreter.

    Raises:
        ExportError: the file does not exist, is not a ``.tflite`` file, or has another size or dimension.
    """

    def __init__(self, path: Path, io_spec: IOSpec, threads: int = 1) -> None:
        super().__init__(path, io_spec)
        try:
            with suppress_output():
                from ai_edge_litert.interpreter import Interpreter

                self.interpreter: Any = Interpreter(str(path), num_threads=threads)
                self.interpreter.allocate_tensors()
                (input_details,) = self.interpreter.get_input_details()
                (output_details,) = self.interpreter.get_output_details()
        except (RuntimeError, ValueError) as error:
            raise ExportError(f"{path} cannot be opened by LiteRT ({error}); export it again") from error
        self.check_shapes(input_details["shape"], output_details["shape"], 1)
        self.input_index = int(input_details["index"])
        self.output_index = int(output_details["index"])

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute embeddings, float32 [batch, dimension], not normalized; see `Embedder.forward`."""
        features = np.empty((len(crops), self.dimension), np.float32)
        for index in range(len(crops)):
            try:
                self.interpreter.set_tensor(self.input_index, self.format.preprocess(crops[index : index + 1]))
                self.interpreter.invoke()
            except (RuntimeError, ValueError) as error:
                raise ExportError(
                    f"{self.path} fails on a crop of {list(crops.shape[1:])} ({error}); give {self.size}x{self.size} "
                    "pixels, or export it again"
                ) from error
            features[index] = self.interpreter.get_tensor(self.output_index)[0]
        return features


def _lower(source: ExportSource) -> bytes:
    """Return the float32 file; its batch is 1, because the converter does not support a dynamic one."""
    import litert_torch

    size = source.spec.size
    model = litert_torch.convert(source.export_module(split_prelu=False), (torch.zeros(1, 3, size, size),))
    return bytes(model.model_content())


def _quantize(content: bytes, source: ExportSource, crops: NDArray[np.uint8]) -> bytes:
    """Quantize convolutions and linear layers to static int8.

    All other operators stay in float32: one delegate then takes the whole graph, and less accuracy is lost. int8 for
    weights alone would keep nearly all accuracy at the same size, but computes in float32 and thus gains nothing from
    a phone's int8 units, which are the purpose of this precision.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe_manager

    recipe = recipe_manager.RecipeManager()
    for operator in INT8_OPERATORS:
        recipe.add_static_config(
            regex=".*", operation_name=qtyping.TFLOperationName(operator), activation_num_bits=8, weight_num_bits=8
        )
    task = quantizer.Quantizer(content, recipe.get_quantization_recipe())
    samples = [{INPUT: source.format.preprocess(crop[None])} for crop in crops]
    ranges = task.calibrate({SIGNATURE: samples}, num_threads=1)
    return bytes(task.quantize(ranges).quantized_model)
