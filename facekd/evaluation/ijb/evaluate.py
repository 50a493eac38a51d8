"""IJB-B and IJB-C: templates pooled from image features, verified 1:1 and searched 1:N."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.data.feature_set import ArrayFeatures, FeatureSet
from facekd.data.ijb.protocol import TemplateProtocol
from facekd.evaluation.identification.gallery import compare
from facekd.evaluation.identification.open_set import FPIRS, SearchResult, summarise
from facekd.evaluation.ijb.pooling import pool
from facekd.evaluation.ijb.verification import FARS, TemplatePairsResult, verify_templates

MEAN = "mean"


@dataclass(frozen=True, eq=False)
class IjbResult:
    """What `evaluate_ijb` found.

    Attributes:
        verification: 1:1; None where the protocol has no pairs.
        search: 1:N, a result a gallery and, under ``mean``, the mean of their rates; empty if there is no gallery.
        images: number of face images.
        templates: number of templates.
        notes: sentences a reader of the figures needs.
    """

    verification: TemplatePairsResult | None
    search: dict[str, SearchResult]
    images: int
    templates: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields of the JSON file."""
        return {
            "verification": self.verification.to_dict() if self.verification else None,
            "search": {name: result.to_dict() for name, result in self.search.items()},
            "images": self.images,
            "templates": self.templates,
            "notes": list(self.notes),
        }

    def describe(self) -> str:
        """The result as lines to read."""
        lines = [f"{self.templates:,} templates of {self.images:,} images"]
        if self.verification:
            lines += ["1:1", self.verification.describe()]
        for name, result in self.search.items():
            lines += [f"1:N, {name}", result.describe()]
        return "\n".join([*lines, *self.notes])


def evaluate_ijb(features: FeatureSet, protocol: TemplateProtocol, use_norm_score: bool = True,
                 use_detector_score: bool = True, fars: Sequence[str] = FARS, fpirs: Sequence[str] = FPIRS,
                 resamples: int = 1000, seed: int = 0) -> IjbResult:
    """Measure verification and search of templates.

    Args:
        features: a row an image, see `facekd.evaluation.ijb.pooling.pool`.
        protocol: see `facekd.data.ijb.opening.open_ijb`.
        use_norm_score: see `facekd.evaluation.ijb.pooling.pool`.
        use_detector_score: likewise.
        fars: false accept rates of 1:1 as text.
        fpirs: false positive identification rates of 1:N as text.
        resamples: bootstrap resamples.
        seed: of the bootstrap.

    Raises:
        DataError: features and protocol do not fit together, or cannot be used.
    """
    templates, notes = pool(features, protocol, use_norm_score, use_detector_score)
    verification = verify_templates(templates, protocol.pairs, fars, resamples, seed) if protocol.pairs else None
    rows = templates.all()

    def part(what: str, index: NDArray[np.int64]) -> ArrayFeatures:
        return ArrayFeatures(rows[index], what, protocol.subjects[index])

    searched = {name: compare(part("the probes", protocol.probes), part(f"gallery {name}", index))
                for name, index in protocol.galleries.items()}
    results = {name: summarise([one], fpirs, resamples, seed) for name, one in searched.items()}
    if searched:
        results[MEAN] = summarise(list(searched.values()), fpirs, resamples, seed)
    return IjbResult(verification, results, len(protocol.names), len(protocol.ids), (*protocol.notes, *notes))
