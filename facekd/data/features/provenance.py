"""The provenance of a feature file: the model and settings that `facekd embed` notes beside it, in ``NAME.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facekd.errors import DataError
from facekd.io import files
from facekd.text import shorten

VERSION = 1
PROVENANCE_SUFFIX = ".json"
_NAME_LENGTH = 60


@dataclass(frozen=True)
class Provenance:
    """What made a feature file.

    Attributes:
        model: fingerprint of the model.
        name: name of the model.
        flip: whether the embeddings of image and mirror image were added.
        size: side of the crops in pixels.
        images: digest of the images, see `facekd.evaluation.embedding.extract`.
        rows: number of rows of the file.
    """

    model: str
    name: str
    flip: bool
    size: int
    images: str
    rows: int

    @property
    def label(self) -> str:
        """The name of the model with the first digits of its fingerprint, which tell two models of one name apart."""
        return f"{shorten(self.name, _NAME_LENGTH)} ({shorten(self.model, 200)[:8]})"


def provenance_path(features: Path) -> Path:
    """Return the path of the file that holds the provenance of a feature file."""
    return features.parent / f"{features.stem}{PROVENANCE_SUFFIX}"  # unlike `with_suffix` for the folder "." as well


def write_provenance(features: Path, identity: Mapping[str, Any], name: str, environment: Mapping[str, Any]) -> None:
    """Write the provenance of a feature file.

    Args:
        features: the feature file.
        identity: everything that the rows depend on.
        name: name of the model.
        environment: versions and machine.

    Raises:
        SetupError: the file cannot be written.
    """
    content = {"identity": dict(identity), "name": name, "environment": dict(environment)}
    files.write_versioned(provenance_path(features), "features", VERSION, content)


def read_identity(features: Path) -> dict[str, Any]:
    """Return everything that the rows of a feature file depend on; empty if that is not known.

    It is not known of the features of another program, and where the file is absent or damaged.
    """
    return _read(features)[0]


def read_provenance(features: Path) -> Provenance | None:
    """Return what made a feature file; None if that is not known, see `read_identity`."""
    identity, name = _read(features)
    types = {"model": str, "flip": bool, "size": int, "images": str, "rows": int}
    if not isinstance(name, str) or not all(type(identity.get(key)) is kind for key, kind in types.items()):
        return None
    return Provenance(name=name, **{key: identity[key] for key in types})


def _read(features: Path) -> tuple[dict[str, Any], Any]:
    try:
        content = files.read_versioned(provenance_path(features), "features", VERSION, DataError)
    except DataError:  # features of another program, or without a readable file
        return {}, None
    identity = content.get("identity")
    return (identity if isinstance(identity, dict) else {}), content.get("name")
