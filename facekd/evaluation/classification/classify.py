"""Closed-set classification: top-k accuracy, calibration, and agreement with a teacher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facekd.data.image_set import ImageSet
from facekd.data.prefetch import prefetch
from facekd.data.transforms import Crops, center_crop
from facekd.errors import DataError
from facekd.evaluation.classification.calibration import expected_calibration_error, reliability_bins
from facekd.evaluation.classification.predictions import Logits, measure_predictions, teacher_agreement
from facekd.evaluation.classification.result import ClassificationResult
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap
from facekd.evaluation.types import Float32Array, FloatArray, IntArray
from facekd.models.embedder import Embedder
from facekd.utils.progress import progress_bar

TOP_K = 5
MIN_IMAGES_PER_CLASS = 10
"""Images that a class needs to be resampled by itself: with n images its variance is too small by (n - 1) / n."""
BATCH_SIZE = 64
"""Images that a classifier processes at once."""


def evaluate_classification(
    model: Embedder, images: ImageSet, teacher: Embedder | None = None, flip: bool = False
) -> ClassificationResult:
    """Classify every image of a class set; each is decoded once and cropped at the center to each model's input size.

    Args:
        model: a classifier, whose outputs are logits.
        images: a class set.
        teacher: another classifier of the same classes, to compare with; its input size may differ.
        flip: whether to use the mean of the logits of image and mirror image; published figures do not.

    Raises:
        DataError: the set has another number of classes than a model has outputs, or an image cannot be used.
    """
    models = [model] if teacher is None else [model, teacher]
    for classifier in models:
        if classifier.dimension != images.num_classes:
            raise DataError(
                f"{classifier.name} has {classifier.dimension} outputs, {images.path} has {images.num_classes} "
                "classes; give the classes it was trained on (--classes N takes the first N)"
            )
    logits = [np.empty((len(images), images.num_classes), np.float32) for _ in models]

    def crop_for_each_model(index: int) -> list[Crops]:
        """Decode an image once."""
        pixels = images.pixels(index)
        return [center_crop(pixels, classifier.size) for classifier in models]

    start = 0
    with progress_bar("classify", len(images)) as advance:
        for batch in prefetch(crop_for_each_model, len(images), BATCH_SIZE):
            stop = start + len(batch)
            for classifier, rows, crops in zip(models, logits, zip(*batch, strict=True), strict=True):
                rows[start:stop] = _logits(classifier, np.stack(crops), flip)
            advance(stop - start, "")
            start = stop
    return classify(logits[0], images.labels, images.class_names, logits[1] if teacher else None)


def classify(
    logits: Logits, labels: ArrayLike, class_names: Sequence[str], teacher_logits: Logits | None = None,
    resamples: int = 1000, seed: int = 0,
) -> ClassificationResult:
    """Measure a classifier by its logits; the softmax is computed in float64.

    Of equal logits the class with the lower number is ranked first, as in ``argmax``; so a model with constant logits
    is correct on the images of class 0 only. Intervals resample images within their class, or among all images if a
    class has fewer than ten.

    Args:
        logits: float [images, classes].
        labels: int [images], 0 to classes - 1.
        class_names: one name for each class.
        teacher_logits: float [images, classes] of a teacher for the same images.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        DataError: shapes do not match, a label is not a class, a logit is not finite, or there is no image.
    """
    label_array = np.asarray(labels)
    _check(logits, label_array, class_names, "the model's logits")
    if teacher_logits is not None:
        _check(teacher_logits, label_array, class_names, "the teacher's logits")
    label_array = label_array.astype(np.int64)
    images = len(label_array)
    classes = len(class_names)
    predictions = measure_predictions(logits, label_array)
    ks = (1, TOP_K) if classes > TOP_K else (1,)
    hits = np.column_stack([predictions.rank < k for k in ks]).astype(np.float64)
    class_sizes = np.bincount(label_array, minlength=classes)
    has_small_class = bool(((class_sizes > 0) & (class_sizes < MIN_IMAGES_PER_CLASS)).any())

    def figures(weights: Weights) -> FloatArray:
        """Compute top-1 and top-k."""
        shares: FloatArray = weights @ hits / images
        return shares

    strata = np.zeros_like(label_array) if has_small_class else label_array
    intervals = [(low, high) for low, high in bootstrap(figures, strata, resamples, seed).tolist()]
    shares = hits.mean(axis=0).tolist()
    correct = np.bincount(label_array, hits[:, 0], minlength=classes)
    by_class = [float(right / size) if size else None for right, size in zip(correct, class_sizes, strict=True)]
    bins = reliability_bins(predictions.confidence, predictions.rank == 0)
    agreement, kl = (None, None) if teacher_logits is None else teacher_agreement(logits, teacher_logits)
    return ClassificationResult(
        top1=shares[0],
        top1_interval=intervals[0],
        top5=shares[1] if classes > TOP_K else None,
        top5_interval=intervals[1] if classes > TOP_K else None,
        per_class=dict(zip(_unique_names(class_names), by_class, strict=True)),
        ece=expected_calibration_error(bins),
        reliability=bins,
        nll=float(predictions.nll.mean()),
        images=images,
        classes=classes,
        agreement=agreement,
        kl=kl,
        notes=tuple(_notes(class_sizes, has_small_class)),
    )


def _logits(model: Embedder, crops: Crops, flip: bool) -> Float32Array:
    logits = model.forward(crops)
    if not flip:
        return logits
    mirrored = np.ascontiguousarray(crops[:, :, ::-1])
    return np.asarray((logits + model.forward(mirrored)) / 2, np.float32)


def _notes(class_sizes: IntArray, has_small_class: bool) -> Iterator[str]:
    if len(class_sizes) <= TOP_K:
        yield f"top-5 is not given: with {len(class_sizes)} classes it is always right"
    empty = int((class_sizes == 0).sum())
    if empty:
        yield f"{empty} of {len(class_sizes)} classes have no image: their accuracy is unknown"
    if has_small_class:
        yield (f"some classes have fewer than {MIN_IMAGES_PER_CLASS} images: the intervals draw among all images, "
               "not within classes")


def _unique_names(class_names: Sequence[str]) -> list[str]:
    """Add the class number to names that occur twice, such as the two ImageNet classes called crane."""
    counts = Counter(class_names)
    return [name if counts[name] == 1 else f"{name} ({number})" for number, name in enumerate(class_names)]


def _check(logits: Logits, labels: NDArray[Any], class_names: Sequence[str], description: str) -> None:
    images = labels.size
    classes = len(class_names)
    if labels.ndim != 1 or not images:
        raise DataError("there is no image to classify; check the data set and its split")
    if logits.shape != (images, classes):
        raise DataError(f"{description} are {list(logits.shape)}, {images} images of {classes} classes need as many")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"labels are {labels.dtype} {labels.min()} to {labels.max()}, not classes 0 to {classes - 1}")
    not_finite = int((~np.isfinite(logits).all(axis=1)).sum())
    if not_finite:
        raise DataError(f"{description} are not finite for {not_finite} of {images} images; check the model")
