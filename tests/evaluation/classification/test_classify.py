from __future__ import annotations

import json
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

from facekd.errors import DataError
from facekd.evaluation.classification import predictions
from facekd.evaluation.classification.classify import ClassificationResult, classify

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    probabilities: NDArray[np.float64] = torch.from_numpy(logits).double().softmax(dim=1).numpy()
    return probabilities


def made(images: int = 600, classes: int = 8, seed: int = 0) -> tuple[Floats, Ints, list[str]]:
    """Logits that are right more often than not and much too sure; every class has images / classes of them."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(images) % classes)
    logits = generator.normal(0, 3, (images, classes)).astype(np.float32)
    logits[np.arange(images), labels] += 3
    return logits, labels, [f"class {number}" for number in range(classes)]


@pytest.fixture(scope="module")
def result() -> ClassificationResult:
    return classify(*made())


def test_top_k_equals_sklearn(result: ClassificationResult) -> None:
    logits, labels, _ = made()
    assert result.top1 == pytest.approx(top_k_accuracy_score(labels, logits, k=1), abs=1e-12)
    assert result.top5 == pytest.approx(top_k_accuracy_score(labels, logits, k=5), abs=1e-12)


def test_nll_equals_sklearn(result: ClassificationResult) -> None:
    logits, labels, _ = made()
    assert result.nll == pytest.approx(log_loss(labels, softmax(logits)), rel=1e-12)


def test_classes_equal_sklearn(result: ClassificationResult) -> None:
    logits, labels, names = made()
    recalls = recall_score(labels, logits.argmax(axis=1), average=None)
    assert list(result.per_class) == names
    assert list(result.per_class.values()) == pytest.approx(recalls.tolist(), abs=1e-12)


def naive_ece(probabilities: NDArray[np.float64], labels: Ints) -> float:
    """Guo et al., equation 3, as it stands."""
    total, images = 0.0, len(labels)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    for number in range(15):
        inside = [i for i in range(images) if number / 15 < confidence[i] <= (number + 1) / 15]
        if inside:
            total += len(inside) / images * abs(right[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_calibration_error_equals_a_naive_loop(scale: float) -> None:
    logits, labels, names = made()
    scaled = scale * logits.astype(np.float64)
    found = classify(scaled, labels, names, resamples=2)
    assert found.ece == pytest.approx(naive_ece(softmax(scaled), labels), abs=1e-12)


def test_a_calibrated_model_has_almost_no_calibration_error() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (50_000, 7))
    cumulated = softmax(logits).cumsum(axis=1)
    labels = (np.random.default_rng(1).random((50_000, 1)) > cumulated).sum(axis=1).clip(max=6)
    assert classify(logits, labels, list("abcdefg"), resamples=2).ece < 0.01


def test_bins_hold_every_image_once(result: ClassificationResult) -> None:
    assert len(result.reliability) == 15 and sum(one.count for one in result.reliability) == result.images == 600
    hits = sum(one.accuracy * one.count for one in result.reliability if one.accuracy is not None)
    assert hits / 600 == pytest.approx(result.top1, abs=1e-12)


def test_a_sure_and_right_model_is_perfect() -> None:
    labels = np.arange(60) % 6
    found = classify(100 * np.eye(6)[labels], labels, list("abcdef"))
    assert (found.top1, found.top1_interval, found.ece, found.top5) == (1.0, (1.0, 1.0), 0.0, 1.0)


def test_the_interval_is_that_of_independent_images() -> None:
    logits, labels, names = made(2000)
    found = classify(logits, labels, names, resamples=2000)
    shares = [share for share in found.per_class.values() if share is not None]
    deviation = np.sqrt(np.mean([share * (1 - share) for share in shares]) / 2000)
    low, high = found.top1_interval
    assert (high - low) / (2 * NormalDist().inv_cdf(0.975) * deviation) == pytest.approx(1, abs=0.1)
    assert low < found.top1 < high


def test_thin_classes_are_not_drawn_within_themselves() -> None:
    logits, labels, names = made(8)
    found = classify(logits, labels, names)
    assert found.top1_interval[0] < found.top1 < found.top1_interval[1]
    assert any("fewer than 10 images" in note for note in found.notes)


def test_the_interval_is_repeatable(result: ClassificationResult) -> None:
    assert classify(*made()).to_dict() == result.to_dict()


def test_five_classes_have_no_top5() -> None:
    found = classify(*made(100, 5))
    assert found.top5 is None and found.top5_interval is None
    assert "top-5 is not given: with 5 classes it is right of itself" in found.notes


def test_six_classes_have_a_top5_without_a_note() -> None:
    found = classify(*made(120, 6))
    assert found.top5 is not None and found.notes == ()


def test_of_equal_logits_the_lower_class_is_first() -> None:
    found = classify(np.zeros((70, 7)), np.arange(70) % 7, list("abcdefg"), np.zeros((70, 7)))
    assert found.per_class == {"a": 1.0} | dict.fromkeys("bcdefg", 0.0)
    assert found.top5 == pytest.approx(5 / 7) and found.agreement == 1.0


def test_logits_of_any_size_have_finite_figures() -> None:
    logits = np.array([[1e30, -1e30], [-1e30, 1e30]] * 10, np.float32)
    found = classify(logits, [0, 1] * 10, ["a", "b"], -logits)
    assert found.nll == 0.0 and found.agreement == 0.0 and found.kl is not None and np.isfinite(found.kl)


def test_agreement_and_divergence_from_the_teacher() -> None:
    logits, labels, names = made()
    teacher, _, _ = made(seed=1)
    found = classify(logits, labels, names, teacher, resamples=2)
    assert found.agreement == accuracy_score(teacher.argmax(axis=1), logits.argmax(axis=1))
    own, wanted = (torch.from_numpy(values).double().log_softmax(dim=1) for values in (logits, teacher))
    divergence = torch.nn.functional.kl_div(own, wanted, reduction="batchmean", log_target=True)
    assert found.kl == pytest.approx(float(divergence), rel=1e-9)


def test_a_model_that_is_its_own_teacher_follows_it() -> None:
    logits, labels, names = made()
    found = classify(logits, labels, names, logits, resamples=2)
    assert (found.agreement, found.kl) == (1.0, 0.0)


def test_without_a_teacher_nothing_is_said_of_it(result: ClassificationResult) -> None:
    assert result.agreement is None and result.kl is None and "teacher" not in result.describe()


def test_blocks_change_nothing(result: ClassificationResult, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = classify(*made(), made(seed=1)[0])
    monkeypatch.setattr(predictions, "ROWS", 7)
    found = classify(*made(), made(seed=1)[0])
    assert found.per_class == result.per_class and found.top5 == result.top5
    assert (found.ece, found.nll) == pytest.approx((result.ece, result.nll), rel=1e-12)
    assert found.kl == pytest.approx(whole.kl, rel=1e-12) and found.agreement == whole.agreement


def test_a_class_without_an_image_is_counted_and_unknown() -> None:
    logits, labels, names = made(700, 7)
    kept = labels != 2
    found = classify(logits[kept], labels[kept], names)
    assert found.per_class["class 2"] is None and found.classes == 7
    assert "1 of 7 classes have no image: nothing is known of them" in found.notes


def test_classes_that_share_a_name_are_told_apart() -> None:
    logits, labels, _ = made(60, 3)
    assert list(classify(logits, labels, ["crane", "drake", "crane"]).per_class) == ["crane (0)", "drake", "crane (2)"]


def test_the_figures_are_json(result: ClassificationResult) -> None:
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["top1"] == result.top1


def test_the_description_shows_the_figures() -> None:
    logits, labels, names = made()
    found = classify(logits, labels, names, logits)
    text = found.describe()
    wanted = [f"top-1 {found.top1:.2%}".replace("%", " %"), "ECE", "600 images of 8 classes", "agreement", "by class"]
    assert [part for part in wanted if part not in text] == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused(value: float) -> None:
    logits, labels, names = made()
    logits[3, 1] = value
    with pytest.raises(DataError, match=r"the model's logits are not finite for 1 of 600 images"):
        classify(logits, labels, names)


def test_a_teacher_that_is_not_finite_is_refused() -> None:
    logits, labels, names = made()
    with pytest.raises(DataError, match=r"the teacher's logits are not finite for 600 of 600"):
        classify(logits, labels, names, logits * np.nan)


def test_logits_of_other_classes_are_refused() -> None:
    logits, labels, names = made()
    with pytest.raises(DataError, match=r"the model's logits are \[600, 8\], 600 images of 7 classes"):
        classify(logits, labels, names[:7])


@pytest.mark.parametrize("label", [-1, 8])
def test_a_label_that_is_no_class_is_refused(label: int) -> None:
    logits, labels, names = made()
    labels[0] = label
    with pytest.raises(DataError, match="not classes 0 to 7"):
        classify(logits, labels, names)


def test_no_image_is_refused() -> None:
    with pytest.raises(DataError, match="there is no image"):
        classify(np.zeros((0, 3)), np.zeros(0, np.int64), ["a", "b", "c"])
