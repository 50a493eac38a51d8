"""From a model and a data set to a result: what the evaluation verbs run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facekd.data.image_set import ImageSet
from facekd.data.pairs.pair_set import PairSet
from facekd.data.prefetch import ahead
from facekd.data.transforms import Crops, centre
from facekd.errors import DataError
from facekd.evaluation.classification.classify import ClassificationResult, classify
from facekd.evaluation.embedding.embed import embed_images
from facekd.evaluation.verification.verify import Floats, VerificationResult, verify
from facekd.models.embedder import Embedder
from facekd.utils.progress import progress

BATCH = 64
"""Images a classifier sees at once."""


def evaluate_verification(
    embedder: Embedder, pairs: PairSet, flip: bool = True
) -> tuple[VerificationResult, Floats]:
    """Verify a pair list; each distinct image is embedded once.

    Args:
        embedder: the model.
        pairs: the pair list.
        flip: sum the embeddings of image and mirror.

    Returns:
        The result, and float64 [pairs], the cosine similarity of each pair in the list's order.

    Raises:
        DataError: an image cannot be used, or the list lacks genuine or impostor pairs.
    """
    scores = pair_scores(pair_features(embedder, pairs, flip), pairs)
    return verify(scores, pairs.same, pairs.fold), scores


def pair_features(embedder: Embedder, pairs: PairSet, flip: bool) -> Floats:
    """The embedding of each distinct image, float64 [images, dimension], rows of unit length.

    Raises:
        DataError: an image cannot be used.
    """
    return embed_images(embedder, pairs.read, pairs.where, len(pairs.images), flip).astype(np.float64)


def pair_scores(features: Floats, pairs: PairSet) -> Floats:
    """The cosine similarity of each pair in the list's order, float64 [pairs]."""
    return np.asarray(np.einsum("ij,ij->i", features[pairs.first], features[pairs.second]))


def evaluate_classification(
    model: Embedder, images: ImageSet, teacher: Embedder | None = None, flip: bool = False
) -> ClassificationResult:
    """Classify every image of a class set; each is read once and shown in the centre view of each model's size.

    Args:
        model: a classifier, whose outputs are logits.
        images: a class set.
        teacher: another classifier of the same classes, to compare with; its size may differ.
        flip: take the mean of the logits of image and mirror; published figures are without.

    Raises:
        DataError: the set's classes are not as many as a model's outputs, or an image cannot be used.
    """
    models = [model] if teacher is None else [model, teacher]
    for one in models:
        if one.dimension != images.classes:
            raise DataError(
                f"{one.name} has {one.dimension} outputs, {images.path} has {images.classes} classes; "
                "give the classes it was trained on (--classes N takes the first N)"
            )
    logits = [np.empty((len(images), images.classes), np.float32) for _ in models]

    def views(index: int) -> list[Crops]:
        pixels = images.pixels(index)
        return [centre(pixels, one.size) for one in models]

    done = 0
    with progress("classify", len(images)) as advance:
        for batch in ahead(views, len(images), BATCH):
            for one, rows, crops in zip(models, logits, zip(*batch, strict=True), strict=True):
                rows[done : done + len(batch)] = _logits(one, np.stack(crops), flip)
            done += len(batch)
            advance(len(batch), "")
    return classify(logits[0], images.labels, images.names, logits[1] if teacher else None)


def _logits(model: Embedder, crops: Crops, flip: bool) -> NDArray[np.float32]:
    logits = model.forward(crops)
    if not flip:
        return logits
    return np.asarray((logits + model.forward(np.ascontiguousarray(crops[:, :, ::-1]))) / 2, np.float32)
