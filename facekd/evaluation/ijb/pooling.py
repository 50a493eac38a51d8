"""Template features: the image features of a template averaged by media (as in InsightFace), and their products."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from facekd.data.containers.path_list import abbreviate
from facekd.data.feature_set import BLOCK_ROWS, ArrayFeatures, Features, FeatureSet
from facekd.data.ijb.protocol import TemplateProtocol
from facekd.errors import DataError
from facekd.evaluation.types import Float32Array, FloatArray, Int32Array, IntArray
from facekd.utils.functional import l2_normalize_rows
from facekd.utils.progress import progress_bar

TEMPLATES_PER_BLOCK = 64
"""First templates whose products with all of their second templates are computed at a time."""


def pool_templates(features: FeatureSet, protocol: TemplateProtocol, use_norm_score: bool = True,
                   use_detector_score: bool = True) -> tuple[ArrayFeatures, list[str]]:
    """Pool image features into template features.

    The features of one medium (the frames of a video) are averaged, the media of a template are summed, and the sum is
    scaled to unit length; so the weight of an image is one over the number of images of its medium. The features are
    read once, a block at a time; sums are float64.

    Args:
        features: one row per image. With names, a row is found by the name of its image in the files of the protocol;
            without names, rows are in the order of those files.
        protocol: the template and medium of each image.
        use_norm_score: whether to keep the length of an image's feature, which is small for poor images; otherwise
            every feature is scaled to unit length before it is averaged.
        use_detector_score: whether to weight an image by the detector's score, if the files of the protocol have it.

    Returns:
        float32 [templates, dimension] of unit length, labeled with their subjects; and sentences that a reader of the
        figures needs.

    Raises:
        DataError: images are missing, a feature is not finite (or zero, if it is to be scaled to unit length), or the
            images of a template cancel out.
    """
    row, notes = _row_of_each_image(features, protocol)
    if use_detector_score and protocol.detection_scores is None:
        notes.append("the protocol's files hold no detector scores: images were not weighted by them")
    weight = _image_weights(protocol, use_detector_score)
    # Images in the order of their rows: each block of rows then serves a contiguous range of images.
    order = np.argsort(row, kind="stable")
    row = row[order]
    template = protocol.template_index[order]
    weight = weight[order]
    sums = np.zeros((len(protocol.ids), features.dimension))
    unit_length = True
    with progress_bar("pool", len(features)) as advance:
        for start in range(0, len(features), BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, len(features))
            images = slice(*np.searchsorted(row, [start, stop]))
            rows = _finite_rows(features, start, stop) if use_norm_score else features.l2_normalized_rows(start, stop)
            unit_length &= bool(np.all(np.abs(np.einsum("ij,ij->i", rows, rows) - 1) < 1e-3))
            _add_rows(sums, template[images], rows[row[images] - start] * weight[images, None])
            advance(stop - start, "")
    if use_norm_score and unit_length:
        notes.append("the features have unit length already: there was no length to weight images by")
    names = [f"template {name}" for name in protocol.ids.tolist()]
    return ArrayFeatures(_normalize_sums(sums, protocol), features.path, protocol.subjects, names), notes


def template_pair_scores(features: Features, first: Int32Array, second: Int32Array) -> Float32Array:
    """Compute the similarity of pairs of rows, float32 [pairs].

    All pairs of a few first rows are computed in one product. If most rows are paired with most others, as in IJB, this
    costs no more than the products alone.

    Args:
        features: float32 [rows, dimension].
        first: int32 [pairs].
        second: int32 [pairs].
    """
    order = np.argsort(first, kind="stable")
    block_starts = np.arange(0, len(features) + TEMPLATES_PER_BLOCK, TEMPLATES_PER_BLOCK, dtype=first.dtype)
    bounds = np.searchsorted(first[order], block_starts)
    scores = np.empty(len(first), np.float32)
    with progress_bar("compare", len(first), "pairs") as advance:
        for block, (start, stop) in enumerate(pairwise(bounds.tolist())):
            if start == stop:
                continue
            pairs = order[start:stop]
            columns, column = np.unique(second[pairs], return_inverse=True)
            low = block * TEMPLATES_PER_BLOCK
            products = features[low : low + TEMPLATES_PER_BLOCK] @ features[columns].T
            scores[pairs] = products[first[pairs] - low, column]
            advance(stop - start, "")
    return scores


def _row_of_each_image(features: FeatureSet, protocol: TemplateProtocol) -> tuple[IntArray, list[str]]:
    """Return the row of each image, int64 [images], and notes."""
    names = protocol.names
    if features.image_names is None or list(features.image_names) == list(names):
        if len(features) != len(names):
            raise DataError(
                f"{features.path} holds {len(features)} features without names, {protocol.source} lists {len(names)} "
                "images; embed these images, in this order"
            )
        return np.arange(len(names)), []
    row_of_name = {name: row for row, name in enumerate(features.image_names)}
    if len(row_of_name) < len(features):
        raise DataError(f"{features.path}: {len(features) - len(row_of_name)} rows have the name of another row; "
                        "give every image a name of its own")
    missing = sorted({name for name in names if name not in row_of_name})
    if missing:
        raise DataError(f"{features.path} lacks {len(missing)} images that {protocol.source} lists: "
                        f"{abbreviate(missing)}; embed them, with the names of this list")
    rows = np.array([row_of_name[name] for name in names], np.int64)
    unused = len(features) - len(np.unique(rows))
    return rows, [f"{unused} of {len(features)} features belong to no template and were left out"] if unused else []


def _image_weights(protocol: TemplateProtocol, use_detector_score: bool) -> FloatArray:
    """Return the weight of each image in its template, float64 [images]."""
    medium = protocol.template_index * (protocol.media.max() + 1) + protocol.media
    _, medium_index, num_images = np.unique(medium, return_inverse=True, return_counts=True)
    weights: FloatArray = 1.0 / num_images[medium_index]
    if use_detector_score and protocol.detection_scores is not None:
        weights = protocol.detection_scores / num_images[medium_index]
    return weights


def _finite_rows(features: FeatureSet, start: int, stop: int) -> Float32Array:
    rows = features.read_rows(start, stop)
    not_finite = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(not_finite):
        raise DataError(f"{features.path}: {len(not_finite)} of the rows {start} to {stop - 1} are not finite: "
                        f"{abbreviate([features.location(start + row) for row in not_finite.tolist()])}; "
                        "embed these images again")
    return rows


def _add_rows(sums: FloatArray, template: IntArray, rows: FloatArray) -> None:
    """Add each row to the sum of its template."""
    if not len(template):
        return
    order = np.argsort(template, kind="stable")
    templates, first = np.unique(template[order], return_index=True)
    sums[templates] += np.add.reduceat(rows[order], first, axis=0)


def _normalize_sums(sums: FloatArray, protocol: TemplateProtocol) -> Float32Array:
    cancelled = np.flatnonzero(np.linalg.norm(sums, axis=1) <= 1e-12)
    if len(cancelled):
        names = [str(name) for name in protocol.ids[cancelled].tolist()]
        raise DataError(f"{protocol.source}: the images of {len(cancelled)} templates add up to nothing: "
                        f"{abbreviate(names)}; their features or detector scores are zero")
    return np.asarray(l2_normalize_rows(sums), np.float32)
