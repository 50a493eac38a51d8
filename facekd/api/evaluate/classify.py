"""``facekd eval cifar`` and ``facekd eval imagenet``: accuracy, calibration and teacher agreement of a classifier."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import Unpack

from facekd.api.evaluate.results import result_name, result_output, save_result
from facekd.data.containers.class_set import first_classes, open_class_set
from facekd.evaluation.classification.classify import evaluate_classification
from facekd.evaluation.classification.result import ClassificationResult
from facekd.models.input_format import InputOptions
from facekd.models.loading import load


def classify(model: Path | str, data: Path | str, *, json: Path | str | None = None, teacher: Path | str | None = None,
             split: str = "test", classes: int = 0, device: str = "auto",
             name: str | None = None, **options: Unpack[InputOptions]) -> ClassificationResult:
    """Evaluate a classifier on a class set, and its agreement with its teacher.

    Args:
        model: a network whose outputs are logits, see `facekd.models.loading.load`.
        data: a class set, see `facekd.data.containers.class_set.open_class_set`.
        json: a result file to write; a run folder gets one in ``results/`` in any case.
        teacher: another classifier of the same classes, of any size.
        split: the split of the set.
        classes: number of classes to use, the first ones; 0 for all.
        device: device of the models.
        name: name of the result, by default the file name of the set, with the split unless it is ``test``.
        options: how the model is fed if it is an ``.onnx`` file, see `facekd.models.input_format.InputOptions`; a
            teacher of this kind must tell it by itself.

    Raises:
        DataError: the set cannot be used, the number of its classes differs from that of the model's outputs, or the
            name is no plain file name.
        ModelError: a model cannot be loaded.
        SetupError: the result cannot be written, or another process writes it.
    """
    suffix = "" if split == "test" else f"-{split}"
    name = result_name(name, f"{Path(data).resolve().stem}{suffix}")
    with result_output("classify", name, model=model, json=json, inputs=(data, teacher)):
        return _classify(model, data, json=json, teacher=teacher, split=split, classes=classes, device=device,
                         name=name, **options)


def _classify(model: Path | str, data: Path | str, *, json: Path | str | None, teacher: Path | str | None, split: str,
              classes: int, device: str, name: str, **options: Unpack[InputOptions]) -> ClassificationResult:
    """See `classify`; the caller holds the locks of the result."""
    classifier = load(model, device, **options)
    teacher_classifier = load(teacher, device) if teacher else None
    images = open_class_set(Path(data), split)
    if classes:
        images = first_classes(images, classes)
    result = evaluate_classification(classifier, images, teacher_classifier)
    content = {
        **result.to_dict(), "data": str(data), "split": split, "teacher": str(teacher) if teacher else None,
        "teacher_sha256": teacher_classifier.fingerprint if teacher_classifier else None,
    }
    save_result("classify", name, content, model=model, embedder=classifier, json=json)
    return result
