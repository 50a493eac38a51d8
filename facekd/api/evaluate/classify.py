"""``facekd eval cifar`` and ``facekd eval imagenet``: how good is a classifier, and how sure is that."""

from __future__ import annotations

from pathlib import Path

from facekd.api.evaluate.results import keep
from facekd.data.containers.class_set import first_classes, open_classes
from facekd.evaluation.classification.classify import ClassificationResult
from facekd.evaluation.protocols import evaluate_classification
from facekd.models.loading import load
from facekd.training.machine import find_device


def classify(model: Path | str, data: Path | str, json: Path | str | None = None, teacher: Path | str | None = None,
             split: str = "test", classes: int = 0, device: str = "auto",
             name: str | None = None) -> ClassificationResult:
    """Measure a classifier on a class set, and how closely it follows its teacher.

    Args:
        model: a network whose outputs are logits, see `facekd.models.loading.load`.
        data: a class set, see `facekd.data.containers.class_set.open_classes`.
        json: a result file to write; a run folder gets one in ``results/`` in any case.
        teacher: another classifier of the same classes, of any size.
        split: the part of the set.
        classes: only the first so many classes; 0 for all.
        device: for torch models.
        name: what the result is called, by default the set's file name, and the split where it is not ``test``.

    Raises:
        DataError: the set cannot be used, or its classes are not as many as the model's outputs.
        ModelError: no such model.
    """
    where = find_device(device)
    classifier, guide = load(model, where), load(teacher, where) if teacher else None
    images = open_classes(Path(data), split)
    if classes:
        images = first_classes(images, classes)
    result = evaluate_classification(classifier, images, guide)
    called = name or Path(data).resolve().stem + ("" if split == "test" else f"-{split}")
    content = {**result.to_dict(), "data": str(data), "split": split,
               "teacher": str(teacher) if teacher else None, "teacher_sha256": guide.fingerprint if guide else None}
    keep(model, classifier, "classify", called, content, json)
    return result
