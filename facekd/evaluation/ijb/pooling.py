"""One feature a template from those of its images (media averaging, as InsightFace has it), and their products."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.path_list import some
from facekd.data.feature_set import ROWS, ArrayFeatures, Features, FeatureSet
from facekd.data.ijb.protocol import Indices, TemplateProtocol
from facekd.errors import DataError
from facekd.utils.progress import progress

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
TOGETHER = 64
"""Templates multiplied with all that they are compared with at a time."""


def pool(features: FeatureSet, protocol: TemplateProtocol, use_norm_score: bool = True,
         use_detector_score: bool = True) -> tuple[ArrayFeatures, list[str]]:
    """Pool image features into template features.

    The features of one medium (the frames of a video) are averaged, the media of a template summed, and the sum brought
    to unit length; so an image counts one over the number of images of its medium. The features are read once, a block
    at a time; sums are float64.

    Args:
        features: a row an image. With names, a row is found by the name the protocol's files give its image; without,
            rows are in the order of those files.
        protocol: which image belongs to which template and medium.
        use_norm_score: keep the length of an image's feature, which is small for poor images; otherwise every image
            has unit length before it is averaged.
        use_detector_score: weight an image by the detector's score, where the protocol's files have it.

    Returns:
        float32 [templates, dimension] of unit length, labelled with their subjects; sentences a reader of the figures
        needs.

    Raises:
        DataError: images are missing, a feature is not finite (or zero, where it should get unit length), or the images
            of a template cancel out.
    """
    row, notes = _rows(features, protocol)
    if use_detector_score and protocol.scores is None:
        notes.append("the protocol's files hold no detector scores: images were not weighted by them")
    weight = _weights(protocol, use_detector_score)
    order = np.argsort(row, kind="stable")
    row, template, weight = row[order], protocol.template[order], weight[order]
    sums = np.zeros((len(protocol.ids), features.dimension))
    unit_length = True
    with progress("pool", len(features)) as advance:
        for start in range(0, len(features), ROWS):
            stop = min(start + ROWS, len(features))
            part = slice(*np.searchsorted(row, [start, stop]))
            images = _finite(features, start, stop) if use_norm_score else features.unit(start, stop)
            unit_length &= bool(np.all(np.abs(np.einsum("ij,ij->i", images, images) - 1) < 1e-3))
            _add(sums, template[part], images[row[part] - start] * weight[part, None])
            advance(stop - start, "")
    if use_norm_score and unit_length:
        notes.append("the features have unit length already: there was no length to weight images by")
    return ArrayFeatures(_unit(sums, protocol), features.path, protocol.subjects,
                         [f"template {name}" for name in protocol.ids.tolist()]), notes


def pair_scores(features: Features, first: Indices, second: Indices) -> NDArray[np.float32]:
    """The similarity of pairs of rows, float32 [pairs].

    All pairs of a few first rows are computed in one product; a list in which most rows meet most others, as in IJB,
    takes the time of the products alone.

    Args:
        features: float32 [rows, dimension].
        first: int32 [pairs].
        second: int32 [pairs].
    """
    order = np.argsort(first, kind="stable")
    bounds = np.searchsorted(first[order], np.arange(0, len(features) + TOGETHER, TOGETHER, dtype=first.dtype))
    scores = np.empty(len(first), np.float32)
    with progress("compare", len(first), "pairs") as advance:
        for block, (start, stop) in enumerate(pairwise(bounds.tolist())):
            if start == stop:
                continue
            own = order[start:stop]
            columns, place = np.unique(second[own], return_inverse=True)
            low = block * TOGETHER
            products = features[low : low + TOGETHER] @ features[columns].T
            scores[own] = products[first[own] - low, place]
            advance(stop - start, "")
    return scores


def _rows(features: FeatureSet, protocol: TemplateProtocol) -> tuple[Ints, list[str]]:
    """The row of each image, int64 [images]."""
    names = protocol.names
    if features.names is None or list(features.names) == list(names):
        if len(features) != len(names):
            raise DataError(
                f"{features.path} holds {len(features)} features without names, {protocol.source} lists {len(names)} "
                "images; embed these images, in this order"
            )
        return np.arange(len(names)), []
    place = {name: row for row, name in enumerate(features.names)}
    if len(place) < len(features):
        raise DataError(f"{features.path}: {len(features) - len(place)} rows have the name of another row; "
                        "give every image a name of its own")
    absent = sorted({name for name in names if name not in place})
    if absent:
        raise DataError(f"{features.path} lacks {len(absent)} images that {protocol.source} lists: {some(absent)}; "
                        "embed them, named as they are there")
    rows = np.array([place[name] for name in names], np.int64)
    unused = len(features) - len(np.unique(rows))
    return rows, [f"{unused} of {len(features)} features belong to no template and were left out"] if unused else []


def _weights(protocol: TemplateProtocol, use_detector_score: bool) -> Floats:
    """What each image counts, float64 [images]."""
    medium = protocol.template * (protocol.media.max() + 1) + protocol.media
    _, which, images = np.unique(medium, return_inverse=True, return_counts=True)
    scores = protocol.scores if use_detector_score and protocol.scores is not None else np.ones(len(which))
    weights: Floats = scores / images[which]
    return weights


def _finite(features: FeatureSet, start: int, stop: int) -> NDArray[np.float32]:
    rows = features.block(start, stop)
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise DataError(f"{features.path}: {len(bad)} of the rows {start} to {stop - 1} are not finite: "
                        f"{some([features.where(start + row) for row in bad.tolist()])}; embed these images again")
    return rows


def _add(sums: Floats, template: Ints, rows: Floats) -> None:
    """Add each row to the sum of its template."""
    if not len(template):
        return
    order = np.argsort(template, kind="stable")
    own, first = np.unique(template[order], return_index=True)
    sums[own] += np.add.reduceat(rows[order], first, axis=0)


def _unit(sums: Floats, protocol: TemplateProtocol) -> NDArray[np.float32]:
    norms = np.linalg.norm(sums, axis=1)
    empty = np.flatnonzero(norms <= 1e-12)
    if len(empty):
        names = [str(name) for name in protocol.ids[empty].tolist()]
        raise DataError(f"{protocol.source}: the images of {len(empty)} templates add up to nothing: {some(names)}; "
                        "their features or detector scores are zero")
    return np.asarray(sums / norms[:, None], np.float32)
