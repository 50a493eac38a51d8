"""Template protocols: which images form a template, and which templates are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]
Int32Array = NDArray[np.int32]
UNKNOWN_SUBJECT = -1
"""The subject of a template whose subject is in none of the files."""


@dataclass(frozen=True, eq=False)
class TemplatePairs:
    """Pairs of templates for 1:1 verification.

    Attributes:
        source: the file from which the pairs were read.
        first: int32 [pairs], index into `TemplateProtocol.ids`.
        second: int32 [pairs], index into `TemplateProtocol.ids`.
        same: bool [pairs], whether both templates are of the same person.
    """

    source: Path
    first: Int32Array
    second: Int32Array
    same: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TemplateProtocol:
    """Templates, each a set of images of one person that are compared as a unit, and the comparisons to make.

    Attributes:
        source: the folder from which the protocol was read.
        names: the face images in the order of the files, [images]; a name may be repeated.
        template_index: int64 [images], the template of each image, an index into ``ids``.
        media: int64 [images], the medium of each image; images of one template with the same number are frames of one
            video.
        detection_scores: float32 [images], the confidence of the face detector; None if the files do not contain it.
        ids: int64 [templates], ascending, the template numbers in the files.
        subjects: int64 [templates], the person of each template; `UNKNOWN_SUBJECT` if the files do not contain it.
        pairs: the pairs for 1:1; None if the files do not contain any.
        galleries: the galleries for 1:N by name, int64 [templates of the gallery], indices into ``ids``; may be empty.
        probes: int64 [probes], indices into ``ids``, the templates to search in each gallery.
        notes: sentences that a reader of the results needs.
    """

    source: Path
    names: Sequence[str]
    template_index: Int64Array
    media: Int64Array
    detection_scores: NDArray[np.float32] | None
    ids: Int64Array
    subjects: Int64Array
    pairs: TemplatePairs | None
    galleries: Mapping[str, Int64Array]
    probes: Int64Array
    notes: tuple[str, ...]
