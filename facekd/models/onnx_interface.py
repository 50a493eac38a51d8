"""How an ONNX file is fed and which of its outputs is the embedding: stated by the user, by the file, by its graph."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import onnx
import onnxruntime as ort

from facekd.errors import ModelError
from facekd.io.documents import parse_json
from facekd.models.input_format import InputFormat, InputOptions, Layout, check_options
from facekd.models.onnx_input import InputEvidence, read_evidence, takes_raw_by_names
from facekd.text import path_text, shorten

MAX_INPUT_VALUES = 1 << 26
"""Values of the largest input: 256 MiB as float32."""
METADATA_KEY = "facekd.input"
"""The key of a file's metadata under which ``route import`` stores what the user stated."""
INPUT_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}


@dataclass(frozen=True)
class GraphInterface:
    """Input and output of an ONNX file.

    Attributes:
        input: the name of the input.
        output: the name of the output with the embedding.
        has_many_outputs: whether the graph has further outputs.
        size: side of the input in pixels.
        batch_size: the batch size if it is fixed, else None.
        input_format: how crops are fed.
        source: what decided about the scaling of the pixels: ``option``, ``file``, ``graph`` or ``convention``.
        differs_from_file: whether the options changed what the file tells by itself.
        notes: sentences that a user should read.
    """

    input: str
    output: str
    has_many_outputs: bool
    size: int
    batch_size: int | None
    input_format: InputFormat
    source: str
    differs_from_file: bool
    notes: tuple[str, ...]


def read_interface(path: Path, model: onnx.ModelProto, session: ort.InferenceSession,
                   options: Mapping[str, Any]) -> GraphInterface:
    """Decide how a file is fed.

    An option counts first, then what ``route import`` stored in the file, then the graph (see
    `facekd.models.onnx_input`), and at last InsightFace's convention: (x - 127.5) / 127.5, RGB.

    Raises:
        ModelError: an option is not valid or contradicts the graph, or the graph is not that of a face model.
    """
    stated = check_options(options)
    stored = _stored_options(path, model)
    input_name, shape, dtype = _check_input(path, session)
    layout = _layout(shape)
    evidence = read_evidence(model.graph, input_name, layout)
    default = _combine(stored, evidence, layout or evidence.layout or "nchw", dtype)
    fed = replace(default, **{key: stated[key] for key in ("pixels", "channels") if key in stated})  # type: ignore[arg-type]
    if dtype == "uint8" and fed.pixels != "raw":
        raise ModelError(f"{path_text(path)} takes uint8, which is 0 to 255; leave --pixels {fed.pixels} out")
    height, width = (shape[1:3] if fed.layout == "nhwc" else shape[2:4])
    size = _check_size(path, height, width, stated.get("size"), stored.get("size"))
    fixed_size = isinstance(height, int) or isinstance(width, int)
    batch_size = shape[0] if isinstance(shape[0], int) else None
    if 3 * (batch_size or 1) * size**2 > MAX_INPUT_VALUES:
        raise ModelError(f"{path_text(path)} takes {batch_size or 1:,} images of {size}x{size} pixels at once, which "
                         f"is more than {MAX_INPUT_VALUES:,} values; export it with a dynamic or smaller batch")
    output = _choose_output(path, session, stated.get("output") or stored.get("output"))
    default_output = _choose_output(path, session, stored.get("output"), required=False)
    source = next((kind for kind, pixels in (("option", stated.get("pixels")), ("file", stored.get("pixels")),
                                             ("graph", evidence.pixels)) if pixels), "convention")
    return GraphInterface(
        input_name, output, len(session.get_outputs()) > 1, size, batch_size, fed,
        source, fed != default or output != default_output or not (fixed_size or size == stored.get("size")),
        _notes(path, model.graph, fed, evidence, stated, stored),
    )


def store_options(model: onnx.ModelProto, options: Mapping[str, Any]) -> None:
    """Store what a user stated about a model in its metadata, so that it is fed so wherever the file is opened.

    Raises:
        ModelError: an option is not valid.
    """
    stated = check_options(options)
    kept = [entry for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=METADATA_KEY, value=json.dumps(stated, sort_keys=True))


def _stored_options(path: Path, model: onnx.ModelProto) -> InputOptions:
    value = next((entry.value for entry in model.metadata_props if entry.key == METADATA_KEY), "{}")
    content = parse_json(value, path, ModelError)
    if not isinstance(content, dict) or not content.keys() <= InputOptions.__annotations__.keys():
        raise ModelError(f"{path_text(path)} states its input in a way that is not understood (metadata "
                         f"{METADATA_KEY}); import or export it again")
    return check_options(content)


def _combine(stored: InputOptions, evidence: InputEvidence, layout: Layout, dtype: str) -> InputFormat:
    """Return the format that a file tells by itself."""
    default = InputFormat("raw" if dtype == "uint8" else "unit", "rgb", layout, dtype)
    pixels = stored.get("pixels") or ("raw" if dtype == "uint8" else evidence.pixels) or default.pixels
    return replace(default, pixels=pixels,
                   channels=cast("Any", stored.get("channels")) or evidence.channels or default.channels)


def _check_input(path: Path, session: ort.InferenceSession) -> tuple[str, list[Any], str]:
    """Return name, shape and type of the only input."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelError(f"{path_text(path)} has {len(inputs)} inputs, a face model has one; is it another kind of "
                         "model?")
    shape: list[Any] = inputs[0].shape
    if inputs[0].type not in INPUT_TYPES:
        raise ModelError(f"{path_text(path)} takes {shorten(inputs[0].type)}, tensor(float) is needed; export it with "
                         "a float32 input")
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3 and shape[3] != 3):
        raise ModelError(f"{path_text(path)} takes an input of shape {shorten(shape)}, [batch, 3, size, size] or "
                         "[batch, size, size, 3] is needed; export it so")
    return inputs[0].name, shape, INPUT_TYPES[inputs[0].type]


def _layout(shape: list[Any]) -> Layout | None:
    """Return the layout that a shape tells; None if it is open."""
    if shape[1] == 3:
        return "nchw"
    return "nhwc" if shape[3] == 3 else None


def _check_size(path: Path, height: Any, width: Any, stated: int | None, stored: int | None) -> int:
    """Return the side of the crops."""
    if isinstance(height, int) and isinstance(width, int) and height != width:
        raise ModelError(f"{path_text(path)} takes {width}x{height} images, aligned crops are square; use another "
                         "model")
    graph_size = next((side for side in (height, width) if isinstance(side, int)), None)
    size = stated or stored
    if graph_size is None and size is None:
        raise ModelError(f"{path_text(path)} leaves the image size open; give it by --size (size=), 112 for most face "
                         "models")
    if graph_size is not None and size is not None and graph_size != size:
        raise ModelError(f"{path_text(path)} takes {graph_size}x{graph_size} images, not {size}x{size}; leave --size "
                         "out")
    return int(graph_size or size or 0)


def _choose_output(path: Path, session: ort.InferenceSession, name: str | None, *, required: bool = True) -> str:
    """Return the output with this name, else the only one, else the first with two dimensions."""
    outputs = session.get_outputs()
    names = [output.name for output in outputs]
    if name is not None:
        if name not in names:
            raise ModelError(f"{path_text(path)} has no output {shorten(name)}; it has {shorten(', '.join(names))}")
        return name
    if len(outputs) == 1:
        return str(names[0])
    chosen = next((output.name for output in outputs if len(output.shape or ()) == 2), None)
    if chosen is None and required:
        raise ModelError(f"{path_text(path)} has {len(outputs)} outputs ({shorten(', '.join(names))}), and none has "
                         "two dimensions as embeddings have: is it a detector? Name the embedding by --output, or give "
                         "a face model")
    return str(chosen or "")


def _notes(path: Path, graph: onnx.GraphProto, fed: InputFormat, evidence: InputEvidence, stated: InputOptions,
           stored: InputOptions) -> tuple[str, ...]:
    """Return what a user should know about the input."""
    notes = []
    name = path_text(path)
    if evidence.pixels and fed.pixels != evidence.pixels:
        notes.append(f"{name}: its graph seems made for --pixels {evidence.pixels}, and is fed --pixels {fed.pixels} "
                     "as stated")
    by_names = "raw" if takes_raw_by_names(graph) else "unit"
    if fed.pixels != by_names and "pixels" not in stated and "pixels" not in stored:
        why = "as its graph tells" if evidence.pixels else "for its type"
        notes.append(f"{name}: fed {fed.describe()}, {why}; InsightFace, which goes by the names of the first nodes, "
                     f"would feed {InputFormat(by_names).describe()}")
    if evidence.swaps_channels and "channels" not in stated and "channels" not in stored:
        notes.append(f"{name}: its graph exchanges the channels, so it is fed BGR; give --channels rgb if it was made "
                     "for RGB")
    return tuple(notes)
