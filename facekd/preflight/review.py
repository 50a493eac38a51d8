"""What a model sees in face sets: labels that look wrong, people under two names, test people in the training set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from facekd.data.diagnosis.finding import EXAMPLES, Finding, examples
from facekd.data.face_set import FaceSet
from facekd.evaluation.dataset_quality.label_noise import PAPERS_ANGLE, Places, asked, places
from facekd.evaluation.dataset_quality.near_duplicates import DUPLICATE_ANGLE, near
from facekd.models.embedder import Embedder

LISTED = 1000
"""Lines a list for review holds at most."""


@dataclass(frozen=True)
class Review:
    """Findings of a model, and lists to look through, the most suspicious first.

    Attributes:
        findings: with a few examples each.
        labels: images far from the mean of their person: image, degrees.
        duplicates: people of the training set who may be one: both names, cosine.
        shared: people of the training set and of a test set who may be one: both names, cosine.
    """

    findings: list[Finding] = field(default_factory=list)
    labels: list[tuple[str, float]] = field(default_factory=list)
    duplicates: list[tuple[str, str, float]] = field(default_factory=list)
    shared: list[tuple[str, str, float]] = field(default_factory=list)


def look(embedder: Embedder, training: FaceSet, tests: Sequence[FaceSet], device: torch.device) -> Review:
    """Embed all images, and compare people by the trimmed means of their images.

    Args:
        embedder: any model; the better it is, the more its lists are worth.
        training: the set to train on.
        tests: sets whose people must not be among them.
        device: where people are compared.
    """
    review, known = Review(), _places(embedder, training)
    review.labels.extend(_far(training, known, review.findings))
    advice = "look at the nearest; if they are one person, merge them: training pushes the two apart"
    review.duplicates.extend(_close((training, known), None, device, advice, review.findings))
    advice = "look at the nearest: people who are tested must not be trained on"
    for test in tests:
        seen = test, _places(embedder, test)
        review.shared.extend(_close((training, known), seen, device, advice, review.findings))
    return review


def _places(embedder: Embedder, faces: FaceSet) -> Places:
    return places(asked(embedder, faces), faces.labels, faces.identities, embedder.dimension)


def _far(faces: FaceSet, seen: Places, findings: list[Finding]) -> list[tuple[str, float]]:
    """The images farthest from their person, those beyond the paper's angle."""
    far = np.argsort(-seen.angles, kind="stable")[: int((seen.angles > PAPERS_ANGLE).sum())].tolist()
    if far:
        where = examples([f"{faces.where(i)} ({seen.angles[i]:.0f} degrees)" for i in far[:EXAMPLES]], len(far))
        what = f"{len(far):,} of {len(faces):,} images in {faces.path} lie beyond {PAPERS_ANGLE:g} degrees of the mean "
        advice = "look at them; where most are labelled wrong, train on what 'facekd clean' leaves"
        findings.append(Finding("warning", f"{what}of their person", where, advice, len(far)))
    return [(faces.name(i), round(float(seen.angles[i]), 2)) for i in far[:LISTED]]


def _close(one: tuple[FaceSet, Places], other: tuple[FaceSet, Places] | None, device: torch.device, advice: str,
           findings: list[Finding]) -> list[tuple[str, str, float]]:
    """People who lie near to each other: of two sets, or of one where ``other`` is None."""
    second = other or one
    found = near(one[1].people, other[1].people if other else None, DUPLICATE_ANGLE, device)
    pairs = zip(found.first[:LISTED].tolist(), found.second[:LISTED].tolist(), found.cosine.tolist(), strict=False)
    listed = [(one[0].names[a], second[0].names[b], round(cosine, 4)) for a, b, cosine in pairs]
    if listed:
        where = examples([f"{a} = {b} (cosine {cosine:.2f})" for a, b, cosine in listed[:EXAMPLES]], found.count)
        both = f"{one[0].path} and {second[0].path}" if other else f"{one[0].path}"
        what = f"{found.count:,} pairs of people in {both} lie within {DUPLICATE_ANGLE:g} degrees of each other"
        findings.append(Finding("warning", what, where, advice, found.count))
    return listed
