"""IJB-B and IJB-C: templates pooled from image features, verified 1:1 and identified 1:N."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from facekd.data.feature_set import ArrayFeatures, FeatureSet
from facekd.data.ijb.protocol import TemplateProtocol
from facekd.evaluation.identification.gallery import rank_against_gallery
from facekd.evaluation.identification.open_set import FPIRS, open_set_result
from facekd.evaluation.identification.open_set_result import OpenSetResult
from facekd.evaluation.ijb.pooling import pool_templates
from facekd.evaluation.ijb.verification import FARS, TemplatePairsResult, verify_templates
from facekd.evaluation.types import IntArray

MEAN_OF_GALLERIES = "mean"


@dataclass(frozen=True, eq=False)
class IjbResult:
    """The result of `evaluate_ijb`.

    Attributes:
        verification: 1:1 result; None if the protocol has no pairs.
        identification: 1:N results by gallery, and under ``mean`` the mean of their rates; empty without a gallery.
        images: number of face images.
        templates: number of templates.
        notes: sentences that a reader of the figures needs.
    """

    verification: TemplatePairsResult | None
    identification: dict[str, OpenSetResult]
    images: int
    templates: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file."""
        return {
            "verification": self.verification.to_dict() if self.verification else None,
            "identification": {name: result.to_dict() for name, result in self.identification.items()},
            "images": self.images,
            "templates": self.templates,
            "notes": list(self.notes),
        }

    def describe(self) -> str:
        """Format the result as lines for people."""
        lines = [f"{self.templates:,} templates of {self.images:,} images"]
        if self.verification:
            lines += ["1:1", self.verification.describe()]
        for name, result in self.identification.items():
            lines += [f"1:N, {name}", result.describe()]
        return "\n".join([*lines, *self.notes])


def evaluate_ijb(
    features: FeatureSet, protocol: TemplateProtocol, use_norm_score: bool = True, use_detector_score: bool = True, *,
    fars: Sequence[str] = FARS, fpirs: Sequence[str] = FPIRS, resamples: int = 1000, seed: int = 0,
) -> IjbResult:
    """Measure verification and identification of templates.

    Args:
        features: one row per image, see `facekd.evaluation.ijb.pooling.pool_templates`.
        protocol: the protocol, see `facekd.data.ijb.opening.open_ijb`.
        use_norm_score: whether to weight images by the length of their feature, see `pool_templates`.
        use_detector_score: whether to weight images by the detector's score, see `pool_templates`.
        fars: false accept rates of 1:1 as text.
        fpirs: false positive identification rates of 1:N as text.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        DataError: features and protocol do not match, or cannot be used.
    """
    templates, notes = pool_templates(features, protocol, use_norm_score, use_detector_score)
    verification = verify_templates(templates, protocol.pairs, fars, resamples, seed) if protocol.pairs else None
    rows = templates.all_l2_normalized_rows()

    def select(index: IntArray, description: str) -> ArrayFeatures:
        """Return some templates, labeled with their subjects."""
        return ArrayFeatures(rows[index], description, protocol.subjects[index])

    scores = {name: rank_against_gallery(select(protocol.probes, "the probes"), select(index, f"gallery {name}"))
              for name, index in protocol.galleries.items()}
    results = {name: open_set_result([gallery], fpirs, resamples, seed) for name, gallery in scores.items()}
    if scores:
        results[MEAN_OF_GALLERIES] = open_set_result(list(scores.values()), fpirs, resamples, seed)
    return IjbResult(verification, results, len(protocol.names), len(protocol.ids), (*protocol.notes, *notes))
