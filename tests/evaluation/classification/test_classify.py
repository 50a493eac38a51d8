from __future__ import annotations

from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import (  # type: ignore[import-untyped]
    accuracy_score,
    log_loss,
    recall_score,
    top_k_accuracy_score,
)

from facekd.data.image_set import ImageSet, Pixels
from facekd.data.transforms import center_crop
from facekd.errors import DataError
from facekd.evaluation.classification import predictions
from facekd.evaluation.classification.classify import classify, evaluate_classification
from facekd.evaluation.classification.result import ClassificationResult
from facekd.evaluation.types import Float32Array, FloatArray, IntArray
from facekd.models.embedder import Embedder
from tests.evaluation.toy import PixelEmbedder


def softmax(logits: NDArray[np.floating[Any]]) -> FloatArray:
    probabilities: FloatArray = torch.from_numpy(logits).double().softmax(dim=1).numpy()
    return probabilities


def random_logits(images: int = 600, classes: int = 8, seed: int = 0) -> tuple[Float32Array, IntArray, list[str]]:
    """Logits that are right more often than not and much too sure; every class has images / classes of them."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(images) % classes)
    logits = generator.normal(0, 3, (images, classes)).astype(np.float32)
    logits[np.arange(images), labels] += 3
    return logits, labels, [f"class {number}" for number in range(classes)]


@pytest.fixture(scope="module")
def result() -> ClassificationResult:
    return classify(*random_logits())


def test_top_k_equals_sklearn(result: ClassificationResult) -> None:
    logits, labels, _ = random_logits()
    assert result.top1 == pytest.approx(top_k_accuracy_score(labels, logits, k=1), abs=1e-12)
    assert result.top5 == pytest.approx(top_k_accuracy_score(labels, logits, k=5), abs=1e-12)


def test_nll_equals_sklearn(result: ClassificationResult) -> None:
    logits, labels, _ = random_logits()
    assert result.nll == pytest.approx(log_loss(labels, softmax(logits)), rel=1e-12)


def test_classes_equal_sklearn(result: ClassificationResult) -> None:
    logits, labels, names = random_logits()
    recalls = recall_score(labels, logits.argmax(axis=1), average=None)
    assert list(result.per_class) == names
    assert list(result.per_class.values()) == pytest.approx(recalls.tolist(), abs=1e-12)


def naive_ece(probabilities: FloatArray, labels: IntArray) -> float:
    """Guo et al., equation 3, as it stands."""
    total, images = 0.0, len(labels)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    for number in range(15):
        inside = [i for i in range(images) if number / 15 < confidence[i] <= (number + 1) / 15]
        if inside:
            total += len(inside) / images * abs(correct[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_calibration_error_equals_a_naive_loop(scale: float) -> None:
    logits, labels, names = random_logits()
    scaled = scale * logits.astype(np.float64)
    result = classify(scaled, labels, names, resamples=2)
    assert result.ece == pytest.approx(naive_ece(softmax(scaled), labels), abs=1e-12)


def test_a_calibrated_model_has_almost_no_calibration_error() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (50_000, 7))
    cumulated = softmax(logits).cumsum(axis=1)
    labels = (np.random.default_rng(1).random((50_000, 1)) > cumulated).sum(axis=1).clip(max=6)
    assert classify(logits, labels, list("abcdefg"), resamples=2).ece < 0.01


def test_bins_hold_every_image_once(result: ClassificationResult) -> None:
    assert len(result.reliability) == 15 and sum(group.count for group in result.reliability) == result.images == 600
    hits = sum(group.accuracy * group.count for group in result.reliability if group.accuracy is not None)
    assert hits / 600 == pytest.approx(result.top1, abs=1e-12)


def test_a_sure_and_right_model_is_perfect() -> None:
    labels = np.arange(60) % 6
    result = classify(100 * np.eye(6)[labels], labels, list("abcdef"))
    assert (result.top1, result.top1_interval, result.ece, result.top5) == (1.0, (1.0, 1.0), 0.0, 1.0)


def test_the_interval_is_that_of_independent_images() -> None:
    logits, labels, names = random_logits(2000)
    result = classify(logits, labels, names, resamples=2000)
    shares = [share for share in result.per_class.values() if share is not None]
    deviation = np.sqrt(np.mean([share * (1 - share) for share in shares]) / 2000)
    low, high = result.top1_interval
    assert (high - low) / (2 * NormalDist().inv_cdf(0.975) * deviation) == pytest.approx(1, abs=0.1)
    assert low < result.top1 < high


def test_thin_classes_are_not_drawn_within_themselves() -> None:
    logits, labels, names = random_logits(8)
    result = classify(logits, labels, names)
    assert result.top1_interval[0] < result.top1 < result.top1_interval[1]
    assert any("fewer than 10 images" in note for note in result.notes)


def test_the_interval_is_repeatable(result: ClassificationResult) -> None:
    assert classify(*random_logits()).to_dict() == result.to_dict()


def test_five_classes_have_no_top5() -> None:
    result = classify(*random_logits(100, 5))
    assert result.top5 is None and result.top5_interval is None
    assert "top-5 is not given: with 5 classes it is always right" in result.notes


def test_six_classes_have_a_top5_without_a_note() -> None:
    result = classify(*random_logits(120, 6))
    assert result.top5 is not None and result.notes == ()


def test_of_equal_logits_the_lower_class_is_first() -> None:
    result = classify(np.zeros((70, 7)), np.arange(70) % 7, list("abcdefg"), np.zeros((70, 7)))
    assert result.per_class == {"a": 1.0} | dict.fromkeys("bcdefg", 0.0)
    assert result.top5 == pytest.approx(5 / 7) and result.agreement == 1.0


def test_logits_of_any_size_have_finite_figures() -> None:
    logits = np.array([[1e30, -1e30], [-1e30, 1e30]] * 10, np.float32)
    result = classify(logits, [0, 1] * 10, ["a", "b"], -logits)
    assert result.nll == 0.0 and result.agreement == 0.0 and result.kl is not None and np.isfinite(result.kl)


def test_agreement_and_divergence_from_the_teacher() -> None:
    logits, labels, names = random_logits()
    teacher, _, _ = random_logits(seed=1)
    result = classify(logits, labels, names, teacher, resamples=2)
    assert result.agreement == accuracy_score(teacher.argmax(axis=1), logits.argmax(axis=1))
    student_log, teacher_log = (torch.from_numpy(values).double().log_softmax(dim=1) for values in (logits, teacher))
    divergence = torch.nn.functional.kl_div(student_log, teacher_log, reduction="batchmean", log_target=True)
    assert result.kl == pytest.approx(float(divergence), rel=1e-9)


def test_a_model_that_is_its_own_teacher_follows_it() -> None:
    logits, labels, names = random_logits()
    result = classify(logits, labels, names, logits, resamples=2)
    assert (result.agreement, result.kl) == (1.0, 0.0)


def test_without_a_teacher_nothing_is_said_of_it(result: ClassificationResult) -> None:
    assert result.agreement is None and result.kl is None and "teacher" not in result.describe()


def test_blocks_change_nothing(result: ClassificationResult, monkeypatch: pytest.MonkeyPatch) -> None:
    in_one_block = classify(*random_logits(), random_logits(seed=1)[0])
    monkeypatch.setattr(predictions, "BLOCK_ROWS", 7)
    in_blocks = classify(*random_logits(), random_logits(seed=1)[0])
    assert in_blocks.per_class == result.per_class and in_blocks.top5 == result.top5
    assert (in_blocks.ece, in_blocks.nll) == pytest.approx((result.ece, result.nll), rel=1e-12)
    assert in_blocks.kl == pytest.approx(in_one_block.kl, rel=1e-12)
    assert in_blocks.agreement == in_one_block.agreement


def test_a_class_without_an_image_is_counted_and_unknown() -> None:
    logits, labels, names = random_logits(700, 7)
    other_class = labels != 2
    result = classify(logits[other_class], labels[other_class], names)
    assert result.per_class["class 2"] is None and result.classes == 7
    assert "1 of 7 classes have no image: their accuracy is unknown" in result.notes


def test_classes_that_share_a_name_get_their_number() -> None:
    logits, labels, _ = random_logits(60, 3)
    assert list(classify(logits, labels, ["crane", "drake", "crane"]).per_class) == ["crane (0)", "drake", "crane (2)"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused(value: float) -> None:
    logits, labels, names = random_logits()
    logits[3, 1] = value
    with pytest.raises(DataError, match=r"the model's logits are not finite for 1 of 600 images"):
        classify(logits, labels, names)


def test_a_teacher_that_is_not_finite_is_refused() -> None:
    logits, labels, names = random_logits()
    with pytest.raises(DataError, match=r"the teacher's logits are not finite for 600 of 600"):
        classify(logits, labels, names, logits * np.nan)


def test_logits_of_other_classes_are_refused() -> None:
    logits, labels, names = random_logits()
    with pytest.raises(DataError, match=r"the model's logits are \[600, 8\], 600 images of 7 classes"):
        classify(logits, labels, names[:7])


@pytest.mark.parametrize("label", [-1, 8])
def test_a_label_that_is_no_class_is_refused(label: int) -> None:
    logits, labels, names = random_logits()
    labels[0] = label
    with pytest.raises(DataError, match="not classes 0 to 7"):
        classify(logits, labels, names)


def test_no_image_is_refused() -> None:
    with pytest.raises(DataError, match="there is no image"):
        classify(np.zeros((0, 3)), np.zeros(0, np.int64), ["a", "b", "c"])


class ColorImages(ImageSet):
    """Images of any size: class k is bright in channel k on the left half."""

    def __init__(self, images: int = 150, sides: tuple[int, int] = (16, 16)) -> None:
        self.path = Path("colors")
        self.labels = np.arange(images) % 3
        self.class_names = ["red", "green", "blue"]
        self.images: Pixels = np.random.default_rng(0).integers(0, 60, (images, *sides, 3), np.uint8)
        self.images[np.arange(images), :, : sides[1] // 2, self.labels] += 90

    def pixels(self, index: int) -> Pixels:
        image: Pixels = self.images[index]
        return image

    def stored_bytes(self, index: int) -> bytes:
        return self.pixels(index).tobytes()

    def location(self, index: int) -> str:
        return f"color {index}"


class ChannelMeans(Embedder):
    """Mean of every channel in the left half as the logit of a class."""

    name, dimension, fingerprint = "channels", 3, "0" * 64

    def __init__(self, size: int = 16) -> None:
        self.size = size

    def forward(self, crops: NDArray[np.uint8]) -> Float32Array:
        assert crops.shape[1:] == (self.size, self.size, 3)
        logits: Float32Array = crops[:, :, : self.size // 2].mean(axis=(1, 2)).astype(np.float32)
        return logits


def test_classes_that_a_model_knows_are_found() -> None:
    result = evaluate_classification(ChannelMeans(), ColorImages())
    assert (result.top1, result.images, result.classes, result.agreement) == (1.0, 150, 3, None)
    assert result.per_class == {"red": 1.0, "green": 1.0, "blue": 1.0}


def test_the_logits_are_those_of_the_center_crop() -> None:
    images = ColorImages(90, (30, 22))
    crops = np.stack([center_crop(images.pixels(index), 16) for index in range(90)])
    logits = ChannelMeans().forward(crops).astype(np.float64)
    nll = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(90), images.labels]
    assert evaluate_classification(ChannelMeans(), images).nll == pytest.approx(nll.mean(), rel=1e-9)


def test_a_teacher_of_another_size_sees_its_own_crop() -> None:
    result = evaluate_classification(ChannelMeans(16), ColorImages(150, (40, 30)), ChannelMeans(24))
    assert result.agreement == 1.0 and result.kl is not None and 0 < result.kl < 1


def test_with_flip_the_logits_are_the_mean_of_image_and_mirror() -> None:
    images = ColorImages()
    both = ChannelMeans().forward(images.images) + ChannelMeans().forward(images.images[:, :, ::-1])
    logits = both.astype(np.float64) / 2
    nll = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(150), images.labels]
    assert evaluate_classification(ChannelMeans(), images, flip=True).nll == pytest.approx(nll.mean(), abs=1e-6)


def test_a_classifier_of_other_classes_is_refused() -> None:
    images = ColorImages()
    images.class_names.append("violet")
    with pytest.raises(DataError, match="channels has 3 outputs, colors has 4 classes"):
        evaluate_classification(ChannelMeans(), images)


def test_a_teacher_of_other_classes_is_refused() -> None:
    with pytest.raises(DataError, match="pixels has 256 outputs, colors has 3 classes"):
        evaluate_classification(ChannelMeans(), ColorImages(), PixelEmbedder())
