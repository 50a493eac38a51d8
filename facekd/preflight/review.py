"""Search face sets with a model: wrong labels, identities under two names, test identities in the training set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from facekd.data.diagnosis.finding import MAX_EXAMPLES, Finding, format_examples
from facekd.data.face_set import FaceSet
from facekd.evaluation.dataset_quality.label_noise import NOISE_ANGLE, Centroids, identity_centroids, live_source
from facekd.evaluation.dataset_quality.near_duplicates import DUPLICATE_ANGLE, find_near_duplicates
from facekd.models.embedder import Embedder

MAX_ENTRIES = 1000
"""Length of each list at most."""


@dataclass(frozen=True)
class Review:
    """The findings of a model, and lists to look through, the most suspicious entries first.

    Attributes:
        findings: one finding per list that is not empty.
        label_outliers: images far from the mean of their identity: image, degrees.
        duplicate_identities: identities of the training set that may be one person: both names, cosine.
        shared_identities: identities of the training set and of a test set that may be one person: both names, cosine.
    """

    findings: list[Finding] = field(default_factory=list)
    label_outliers: list[tuple[str, float]] = field(default_factory=list)
    duplicate_identities: list[tuple[str, str, float]] = field(default_factory=list)
    shared_identities: list[tuple[str, str, float]] = field(default_factory=list)


class _EmbeddedSet(NamedTuple):
    faces: FaceSet
    centroids: Centroids


def review_with_model(embedder: Embedder, training: FaceSet, test_sets: Sequence[FaceSet], device: torch.device
                      ) -> Review:
    """Embed all images and compare identities by the trimmed means of their images.

    Args:
        embedder: the model; the lists of a better model are more reliable.
        training: the training set.
        test_sets: sets whose identities must not be in the training set.
        device: the device on which identities are compared.
    """
    review = Review()
    train_set = _embed(embedder, training)
    review.label_outliers.extend(_find_label_outliers(train_set, review.findings))
    review.duplicate_identities.extend(_find_same_identities(
        train_set, None, device, review.findings,
        "look at the nearest; if they are one person, merge them: training pushes the two apart"))
    for faces in test_sets:
        review.shared_identities.extend(_find_same_identities(
            train_set, _embed(embedder, faces), device, review.findings,
            "look at the nearest: people who are tested must not be trained on"))
    return review


def _embed(embedder: Embedder, faces: FaceSet) -> _EmbeddedSet:
    source = live_source(embedder, faces)
    return _EmbeddedSet(faces, identity_centroids(source, faces.labels, faces.num_identities, embedder.dimension))


def _find_label_outliers(train_set: _EmbeddedSet, findings: list[Finding]) -> list[tuple[str, float]]:
    """Return the images beyond `NOISE_ANGLE` from the mean of their identity, the farthest first."""
    faces = train_set.faces
    angles = train_set.centroids.angles
    count = int((angles > NOISE_ANGLE).sum())
    farthest = np.argsort(-angles, kind="stable")[:count].tolist()
    if farthest:
        examples = [f"{faces.location(i)} ({angles[i]:.0f} degrees)" for i in farthest[:MAX_EXAMPLES]]
        message = (f"{count:,} of {len(faces):,} images in {faces.path} are beyond {NOISE_ANGLE:g} degrees of the mean "
                   "of their person")
        advice = "look at them; where most are labeled wrong, train on the output of 'facekd clean'"
        findings.append(Finding("warning", message, format_examples(examples, count), advice, count))
    return [(faces.image_name(i), round(float(angles[i]), 2)) for i in farthest[:MAX_ENTRIES]]


def _find_same_identities(first: _EmbeddedSet, second: _EmbeddedSet | None, device: torch.device,
                          findings: list[Finding], advice: str) -> list[tuple[str, str, float]]:
    """Return the pairs of identities within `DUPLICATE_ANGLE`, of two sets or, without ``second``, of one."""
    second_directions = second.centroids.directions if second else None
    matches = find_near_duplicates(first.centroids.directions, second_directions, DUPLICATE_ANGLE, device)
    first_names = first.faces.class_names
    second_names = (second or first).faces.class_names
    pairs = [
        (first_names[a], second_names[b], round(cosine, 4))
        for a, b, cosine in zip(matches.first[:MAX_ENTRIES].tolist(), matches.second[:MAX_ENTRIES].tolist(),
                                matches.cosine[:MAX_ENTRIES].tolist(), strict=True)
    ]
    if pairs:
        examples = [f"{a} = {b} (cosine {cosine:.2f})" for a, b, cosine in pairs[:MAX_EXAMPLES]]
        sets = f"{first.faces.path} and {second.faces.path}" if second else f"{first.faces.path}"
        message = f"{matches.count:,} pairs of people in {sets} are within {DUPLICATE_ANGLE:g} degrees of each other"
        findings.append(Finding("warning", message, format_examples(examples, matches.count), advice, matches.count))
    return pairs
