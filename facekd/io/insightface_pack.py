"""The detector and the recognizer among the ONNX files of a folder, such as a model pack of InsightFace.

The graphs decide, not the names: packs also hold models of landmarks, age and sex.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import onnx

from facekd.errors import FacekdError, ModelError
from facekd.io.onnx_file import FETCH_AGAIN, external_weights, read_model
from facekd.io.reading import reading
from facekd.text import path_text, shorten

CROP_SIZE = 112
"""Side in pixels of the crops that a recognizer of a pack takes."""
_YUNET = {f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)}


def find_graphs(folder: Path) -> list[Path]:
    """Return the ONNX files of a folder, sorted, without the copies of lower precision that facekd writes."""
    return [file for file in sorted(folder.glob("*.onnx")) if not file.stem.endswith((".fp16", ".int8"))]


def find_recognizer(folder: Path) -> Path:
    """Return the only ONNX file of a folder that takes crops of 112x112 pixels and gives one embedding per image.

    Raises:
        ModelError: there is none, or there are several.
    """
    return _find(folder, _is_recognizer, "recognizer", "takes crops of 112x112 pixels and gives one embedding")


def find_detector_file(folder: Path) -> Path:
    """Return the only ONNX file of a folder that is a YuNet or an SCRFD with landmarks.

    Raises:
        ModelError: there is none, or there are several.
    """
    return _find(folder, lambda file: detector_kind(file) is not None, "detector", "is a YuNet or an SCRFD with "
                 "landmarks")


def _find(folder: Path, fits: Callable[[Path], bool], role: str, condition: str) -> Path:
    files = find_graphs(folder)
    found, unreadable = [], []
    for file in files:
        try:
            if fits(file):
                found.append(file)
        except FacekdError:  # another file of the pack may be what is looked for
            unreadable.append(file)
    if len(found) == 1:
        return found[0]
    if found:
        raise ModelError(f"{path_text(folder)} holds {len(found)} {role}s ({_names(found)}); name the file")
    damaged = f", {_names(unreadable)} cannot be read" if unreadable else ""
    raise ModelError(f"{path_text(folder)} holds no {role}: none of its {len(files)} .onnx files {condition}"
                     f"{damaged}; name the file, or give another folder")


def _names(files: list[Path]) -> str:
    return shorten(", ".join(file.name for file in files))


def detector_kind(path: Path) -> Literal["yunet", "scrfd"] | None:
    """Return which detector a file is by the outputs of its graph; None if it is none that gives five landmarks.

    Raises:
        ModelError: the file is not ONNX.
    """
    outputs = output_widths(path)
    if outputs.keys() == _YUNET:
        return "yunet"
    # SCRFD has the scores of all strides first, then the boxes, then the landmarks; a dimension may be left open (0).
    levels, rest = divmod(len(outputs), 3)
    expected = [width for width in (1, 4, 10) for _ in range(levels)]
    widths_fit = all(width in (0, wanted) for width, wanted in zip(outputs.values(), expected, strict=False))
    return "scrfd" if levels in (3, 5) and rest == 0 and widths_fit else None


def output_widths(path: Path) -> dict[str, int]:
    """Return the outputs of an ONNX graph in order: name and last dimension, 0 if the graph leaves it open.

    Raises:
        ModelError: the file is not ONNX.
    """
    model = read_model(path)
    external_weights(path, model)
    with reading(path, ModelError, kind="a detector", remedy=FETCH_AGAIN):
        shapes = {str(output.name): _shape(output) for output in model.graph.output}
    return {name: shape[-1] if shape else 0 for name, shape in shapes.items()}


def _is_recognizer(path: Path) -> bool:
    graph = read_model(path).graph
    with reading(path, ModelError, kind="a face model in ONNX", remedy=FETCH_AGAIN):
        weights = {tensor.name for tensor in graph.initializer}
        inputs = [_shape(value) for value in graph.input if value.name not in weights]
        outputs = [_shape(value) for value in graph.output]
    sides = ([CROP_SIZE, CROP_SIZE, 3], [3, CROP_SIZE, CROP_SIZE])
    return len(inputs) == 1 and inputs[0][1:] in sides and len(outputs) == 1 and len(outputs[0]) == 2


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    """Return the dimensions of an input or output; 0 for one that is left open."""
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
