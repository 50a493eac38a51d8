"""A linear map from the embeddings of an old model to those of a new one, and its file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors import safe_open
from safetensors.numpy import save_file

from facekd.errors import DataError
from facekd.io import files
from facekd.io.documents import parse_json
from facekd.io.reading import reading
from facekd.io.records import PositiveCount, Record, check_record
from facekd.text import path_text, shorten
from facekd.utils.functional import l2_normalize_rows

VERSION = 1
FORMAT = "facekd.map"
REMEDY = "fit the map again with 'facekd convert --fit'"
Method = Literal["ridge", "procrustes"]
Cosine = Annotated[float, Field(ge=-1.001, le=1.001)]


class MappedModel(Record):
    """One of the two models of a map.

    Attributes:
        name: name of the model.
        sha256: its fingerprint, see `facekd.models.embedder.Embedder`.
        dimension: length of its embeddings.
        size: side of its crops in pixels.
    """

    name: str
    sha256: str
    dimension: PositiveCount
    size: PositiveCount

    @property
    def label(self) -> str:
        """The name with the first digits of the fingerprint, which tell two models of one name apart."""
        return f"{shorten(self.name, 60)} ({shorten(self.sha256, 200)[:8]})"


class MapFacts(Record):
    """How a map was fitted.

    Attributes:
        old: the model whose embeddings are mapped.
        new: the model whose embeddings result.
        method: ``ridge`` or ``procrustes``.
        regularization: ridge's weight of the squared matrix, as a share of the mean eigenvalue of the embeddings'
            second moments; None for Procrustes.
        flip: whether the embeddings of image and mirror image were added.
        images: images that the map was fitted on.
        held_out_images: other images, on which the cosine was measured.
        held_out_cosine: their mean cosine between mapped old embedding and new embedding.
    """

    old: MappedModel
    new: MappedModel
    method: Method
    regularization: float | None
    flip: bool
    images: PositiveCount
    held_out_images: PositiveCount
    held_out_cosine: Cosine


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """A map from old to new embeddings: scale the row to unit length, multiply, add the offset, scale again.

    Attributes:
        matrix: float32 [old dimension, new dimension].
        offset: float32 [new dimension].
        facts: how it was fitted.
    """

    matrix: NDArray[np.float32]
    offset: NDArray[np.float32]
    facts: MapFacts

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the map with its models; it is the model of converted features."""
        digest = hashlib.sha256(f"{self.facts.old.sha256} {self.facts.new.sha256}".encode())
        digest.update(self.matrix.astype("<f4").tobytes() + self.offset.astype("<f4").tobytes())
        return digest.hexdigest()

    @property
    def name(self) -> str:
        """The name of the models of converted features."""
        return f"{shorten(self.facts.old.name, 60)} mapped to {shorten(self.facts.new.name, 60)}"

    def convert(self, rows: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float32]:
        """Map embeddings of any length, float [rows, old dimension], to unit length, float32 [rows, new dimension]."""
        unit = l2_normalize_rows(np.asarray(rows, np.float64))
        return l2_normalize_rows(unit @ self.matrix + self.offset).astype(np.float32)


def write_map(path: Path, feature_map: FeatureMap) -> None:
    """Write a map atomically.

    Raises:
        SetupError: the file cannot be written.
    """
    facts = json.dumps(feature_map.facts.model_dump(), sort_keys=True)
    header = {"format": FORMAT, "version": str(VERSION), "facts": facts}
    tensors = {"matrix": np.ascontiguousarray(feature_map.matrix), "offset": np.ascontiguousarray(feature_map.offset)}
    with files.atomic_write(path) as temporary:
        save_file(tensors, temporary, header)


def read_map(path: Path) -> FeatureMap:
    """Read a file of `write_map`.

    Raises:
        DataError: the file is absent, damaged, of another kind or of another version.
    """
    if not path.exists():
        raise DataError(f"{path_text(path)} does not exist; fit it with 'facekd convert --fit OLD NEW IMAGES --map "
                        "MAP.safetensors'")
    with reading(path, kind="safetensors", remedy=REMEDY), safe_open(path, "np") as handle:
        header = handle.metadata() or {}
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a mapping)
    if header.get("format") != FORMAT:
        raise DataError(f"{path_text(path)} is no map of 'facekd convert --fit'; give the file that --map named there")
    if header.get("version") != str(VERSION):
        raise DataError(f"{path_text(path)} is a map of version {shorten(header.get('version'), 20)}, this facekd "
                        f"reads {VERSION}; {REMEDY}")
    record = parse_json(header.get("facts", ""), path, remedy=REMEDY)
    facts = check_record(MapFacts, record if isinstance(record, dict) else {}, path, DataError, remedy=REMEDY)
    expected = {"matrix": (facts.old.dimension, facts.new.dimension), "offset": (facts.new.dimension,)}
    for name, shape in expected.items():
        tensor = tensors.get(name)
        if tensor is None or tensor.dtype != np.float32 or tensor.shape != shape or not np.isfinite(tensor).all():
            raise DataError(f"{path_text(path)} is damaged: '{name}' is no float32 {list(shape)} of finite numbers; "
                            f"{REMEDY}")
    return FeatureMap(tensors["matrix"], tensors["offset"], facts)
