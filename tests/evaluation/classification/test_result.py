from __future__ import annotations

import json

import numpy as np
import pytest

from facekd.evaluation.classification.classify import classify
from facekd.evaluation.classification.result import ClassificationResult


@pytest.fixture(scope="module")
def result() -> ClassificationResult:
    """A classifier that agrees with its teacher, on 600 images of 8 classes."""
    generator = np.random.default_rng(0)
    labels = np.arange(600) % 8
    logits = generator.normal(0, 3, (600, 8))
    logits[np.arange(600), labels] += 3
    return classify(logits, labels, [f"class {number}" for number in range(8)], logits, resamples=20)


def test_the_figures_are_json(result: ClassificationResult) -> None:
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert content["top1"] == result.top1
    assert set(content) == {"top1", "top1_interval", "top5", "top5_interval", "per_class", "ece", "reliability", "nll",
                            "images", "classes", "agreement", "kl", "notes"}
    assert set(content["reliability"][0]) == {"confidence", "accuracy", "count"}


def test_the_description_shows_the_figures(result: ClassificationResult) -> None:
    text = result.describe()
    wanted = [f"top-1 {result.top1:.2%}".replace("%", " %"), "ECE", "600 images of 8 classes", "agreement", "by class"]
    assert [word for word in wanted if word not in text] == []


def test_the_description_names_the_worst_and_the_best_class(result: ClassificationResult) -> None:
    shares = {name: share for name, share in result.per_class.items() if share is not None}
    line = next(line for line in result.describe().splitlines() if line.startswith("by class"))
    assert f"({min(shares, key=lambda name: shares[name])}) to" in line
