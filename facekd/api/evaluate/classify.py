"""``facekd eval cifar`` and ``facekd eval imagenet``: accuracy, calibration and teacher agreement of a classifier."""

from __future__ import annotations

from pathlib import Path

from facekd.api.evaluate.results import save_result
from facekd.data.containers.class_set import first_classes, open_class_set
from facekd.evaluation.classification.classify import evaluate_classification
from facekd.evaluation.classification.result import ClassificationResult
from facekd.models.loading import load
from facekd.training.machine import resolve_device


def classify(model: Path | str, data: Path | str, *, json: Path | str | None = None, teacher: Path | str | None = None,
             split: str = "test", classes: int = 0, device: str = "auto",
             name: str | None = None) -> ClassificationResult:
    """Evaluate a classifier on a class set, and its agreement with its teacher.

    Args:
        model: a network whose outputs are logits, see `facekd.models.loading.load`.
        data: a class set, see `facekd.data.containers.class_set.open_class_set`.
        json: a result file to write; a run folder gets one in ``results/`` in any case.
        teacher: another classifier of the same classes, of any size.
        split: the split of the set.
        classes: number of classes to use, the first ones; 0 for all.
        device: device of torch models.
        name: name of the result, by default the file name of the set, with the split unless it is ``test``.

    Raises:
        DataError: the set cannot be used, or the number of its classes differs from that of the model's outputs.
        ModelError: a model cannot be loaded.
    """
    torch_device = resolve_device(device)
    classifier = load(model, torch_device)
    teacher_classifier = load(teacher, torch_device) if teacher else None
    images = open_class_set(Path(data), split)
    if classes:
        images = first_classes(images, classes)
    result = evaluate_classification(classifier, images, teacher_classifier)
    result_name = name or Path(data).resolve().stem + ("" if split == "test" else f"-{split}")
    content = {
        **result.to_dict(), "data": str(data), "split": split, "teacher": str(teacher) if teacher else None,
        "teacher_sha256": teacher_classifier.fingerprint if teacher_classifier else None,
    }
    save_result("classify", result_name, content, model=model, embedder=classifier, json=json)
    return result
