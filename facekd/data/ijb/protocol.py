"""Templates: several images of one person that are compared as one, and a protocol that says what with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Indices = NDArray[np.int32]
UNKNOWN = -1
"""The subject of a template of which the files do not say it."""


@dataclass(frozen=True, eq=False)
class TemplatePairs:
    """Pairs of templates to be verified.

    Attributes:
        source: the file.
        first: int32 [pairs], which template, see `TemplateProtocol.ids`.
        second: likewise.
        same: bool [pairs], whether both show one person.
    """

    source: Path
    first: Indices
    second: Indices
    same: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TemplateProtocol:
    """Templates (several images of one person), and what is to be done with them.

    Attributes:
        source: the folder.
        names: the face images in the order of the files, [images]; a name can come twice.
        template: int64 [images], which template, an index into ``ids``.
        media: int64 [images]; images of one template with one number are of one medium, frames of a video.
        scores: float32 [images], how sure the detector was of a face; None where the files do not say.
        ids: int64 [templates], rising, what the files call the templates.
        subjects: int64 [templates], who it is, `UNKNOWN` where the files do not say.
        pairs: for 1:1; None where there is no such file.
        galleries: for 1:N, by name, int64 [templates of it], indices into ``ids``; may be empty.
        probes: int64, the templates to be searched in each gallery.
        notes: sentences a reader of the figures needs.
    """

    source: Path
    names: Sequence[str]
    template: Ints
    media: Ints
    scores: NDArray[np.float32] | None
    ids: Ints
    subjects: Ints
    pairs: TemplatePairs | None
    galleries: Mapping[str, Ints]
    probes: Ints
    notes: tuple[str, ...]
