"""LiteRT (TensorFlow Lite): one ``.tflite`` file for one image at a time, float32 or int8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from facekd.deploy.quiet import quiet
from facekd.deploy.source import Interface, Source
from facekd.deploy.targets.base import Made, Precision, Target, converting, register
from facekd.deploy.targets.one_file import OneFileEmbedder
from facekd.errors import ExportError
from facekd.models.embedder import Embedder
from facekd.utils import files as disk

SIGNATURE, INPUT = "serving_default", "args_0"
"""What the converter calls the one entry of a file and its input."""


@register
class LiteRTTarget(Target):
    """LiteRT's interpreter with its XNNPACK delegate; PReLU stays as it is, since the converter splits it by itself."""

    name = "litert"
    precisions = ("fp32", "int8")
    modules: ClassVar[dict[str, str]] = {
        "litert_torch": "litert-torch", "ai_edge_litert": "ai-edge-litert", "ai_edge_quantizer": "ai-edge-quantizer",
    }
    extra = "litert"
    runtime = "ai_edge_litert.interpreter"
    device = (
        "adb push benchmark_model {files} /data/local/tmp/\n"
        'adb shell "cd /data/local/tmp && chmod +x benchmark_model && ./benchmark_model --graph={files} '
        '--num_threads={threads} --warmup_runs=10 --num_runs=100" 2>&1'
    )

    def convert(self, source: Source, precision: Precision, folder: Path) -> Made:
        """Write ``NAME.tflite`` or ``NAME.int8.tflite``; see `Target.convert`."""
        self.demand()
        self.demand_precision(precision)
        crops = source.ranges(self.name) if precision == "int8" else None
        with converting(source, self.name, precision):
            content = _lower(source)
            if crops is not None:
                content = _quantise(content, source, crops)
        path = folder / f"{source.stem(precision)}.tflite"
        disk.write_bytes(path, content)
        notes = [f"{path.name} takes one image at a time, [1, 3, size, size] float32."]
        if crops is not None:
            notes.append(
                f"{path.name}: int8 in what multiplies (weights per channel, activations set by {len(crops)} crops), "
                "float32 elsewhere and outside."
            )
        return Made((path,), tuple(notes))

    def open(self, files: Sequence[Path], interface: Interface, threads: int = 1) -> Embedder:
        """A ``.tflite`` file as an embedder; see `Target.open`."""
        self.demand()
        return LiteRTEmbedder(files[0], interface, threads)


class LiteRTEmbedder(OneFileEmbedder):
    """A face model in one ``.tflite`` file.

    Args:
        path: the file.
        interface: how it is talked to.
        threads: of the interpreter.

    Raises:
        ExportError: absent, not such a file, or one of another size or dimension.
    """

    def __init__(self, path: Path, interface: Interface, threads: int = 1) -> None:
        super().__init__(path, interface)
        try:
            with quiet():
                from ai_edge_litert.interpreter import Interpreter

                self.interpreter: Any = Interpreter(str(path), num_threads=threads)
                self.interpreter.allocate_tensors()
                (entry,), (out,) = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        except (RuntimeError, ValueError) as error:
            raise ExportError(f"{path} cannot be opened by LiteRT ({error}); export it again") from error
        self.demand_shapes(entry["shape"], out["shape"], 1)
        self.input, self.output = int(entry["index"]), int(out["index"])

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw embeddings, float32 [batch, dimension]; see `Embedder.forward`."""
        features = np.empty((len(crops), self.dimension), np.float32)
        for index in range(len(crops)):
            try:
                self.interpreter.set_tensor(self.input, self.form.preprocess(crops[index : index + 1]))
                self.interpreter.invoke()
            except (RuntimeError, ValueError) as error:
                raise ExportError(
                    f"{self.path} fails on a crop of {list(crops.shape[1:])} ({error}); give {self.size}x{self.size} "
                    "pixels, or export it again"
                ) from error
            features[index] = self.interpreter.get_tensor(self.output)[0]
        return features


def _lower(source: Source) -> bytes:
    """The float file; its batch is one, because the converter does not carry a dynamic one through."""
    import litert_torch

    size = source.spec.size
    model = litert_torch.convert(source.graph(split_prelu=False), (torch.zeros(1, 3, size, size),))
    return bytes(model.model_content())


def _quantise(content: bytes, source: Source, crops: NDArray[np.uint8]) -> bytes:
    """Static int8 of what multiplies; with all else in float, one delegate takes the graph and less accuracy goes.

    Weights alone in int8 would keep nearly all accuracy at the same size, but compute in float: no gain on a phone's
    int8 units, which are what this precision is for.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe_manager

    recipe = recipe_manager.RecipeManager()
    for operator in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        recipe.add_static_config(
            regex=".*", operation_name=qtyping.TFLOperationName(operator), activation_num_bits=8, weight_num_bits=8
        )
    task = quantizer.Quantizer(content, recipe.get_quantization_recipe())
    samples = [{INPUT: source.form.preprocess(crop[None])} for crop in crops]
    ranges = task.calibrate({SIGNATURE: samples}, num_threads=1)
    return bytes(task.quantize(ranges).quantized_model)
