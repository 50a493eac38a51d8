"""Evaluation of classifiers: the JSON that other programs rely on, and figures computed in another way."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from sklearn.metrics import top_k_accuracy_score  # type: ignore[import-untyped]

import facekd
from facekd.api.evaluate.classify import classify
from facekd.cli.main import main
from facekd.data.transforms import center_crop, decode
from facekd.errors import DataError, ModelError
from facekd.models.registry import create
from facekd.models.weights import load_model, save_model
from facekd.reporting.run_data import load_run_data
from facekd.reporting.run_report import write_report
from facekd.run import Run

CLASSES = 7
IMAGES = 4
FIELDS = {"top1", "top1_interval", "top5", "top5_interval", "per_class", "ece", "reliability", "nll", "images",
          "classes", "agreement", "kl", "notes", "kind", "name", "model", "model_sha256", "hardware", "command_line",
          "data", "split", "teacher", "teacher_sha256", "input"}


def network(path: Path, outputs: int = CLASSES, size: int = 32, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    save_model(create("mobilenetv2", size=size, outputs=outputs, width=0.25, expansion=2), path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An ImageNet folder of noise whose shape is not that of a network's input; ``val`` has twice as many images."""
    generator = np.random.default_rng(0)
    for split, count in (("train", IMAGES), ("val", 2 * IMAGES)):
        for label in range(CLASSES):
            folder = tmp_path / "things" / split / f"n{label:08d}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (50, 44, 3), np.uint8)
                (folder / f"{number}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return tmp_path / "things"


@pytest.fixture
def student(run: Run) -> Run:
    """The run folder of a classifier."""
    network(run.model)
    return run


def test_the_command_line_writes_the_fields(
    data: Path, student: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    with pytest.raises(SystemExit) as exit_info:
        main(["eval", "cifar", "--model", str(student.path), "--data", str(data), "--json", str(out)])
    assert not exit_info.value.code
    assert json.loads(out.read_text(encoding="utf-8")).keys() >= FIELDS - {"teacher_sha256"}
    assert "top-1" in capsys.readouterr().out


def test_the_figures_are_those_of_the_network(data: Path, tmp_path: Path) -> None:
    model = network(tmp_path / "m.safetensors")
    files = sorted((data / "val").glob("*/*.png"))
    labels = [int(file.parent.name[1:]) for file in files]
    views = np.stack([center_crop(decode(file.read_bytes(), ""), 32) for file in files])
    classifier = load_model(model)
    with torch.inference_mode():
        logits = classifier(classifier.preprocess(torch.from_numpy(views))).numpy()
    result = classify(model, data, device="cpu")
    assert (result.images, result.classes) == (2 * IMAGES * CLASSES, CLASSES)
    assert result.top1 == pytest.approx(top_k_accuracy_score(labels, logits, k=1))
    assert result.top5 == pytest.approx(top_k_accuracy_score(labels, logits, k=5))
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.tensor(labels))
    assert result.nll == pytest.approx(float(loss), rel=1e-5)


def test_a_run_folder_keeps_its_results(data: Path, student: Run, tmp_path: Path) -> None:
    result = classify(student.path, data, json=tmp_path / "out.json", device="cpu")
    content = json.loads((student.results / "classify-things.json").read_text())
    assert content == json.loads((tmp_path / "out.json").read_text())
    assert content.keys() == FIELDS
    assert (content["top1"], content["kind"], content["name"]) == (result.top1, "classify", "things")
    assert content["model_sha256"] == facekd.load(student.model).fingerprint
    assert content["teacher"] is None and content["agreement"] is None


def test_a_teacher_of_another_size_is_compared_with(data: Path, student: Run, tmp_path: Path) -> None:
    teacher = network(tmp_path / "teacher.safetensors", size=48, seed=1)
    result = classify(student.path, data, teacher=teacher, device="cpu")
    content = json.loads((student.results / "classify-things.json").read_text())
    assert result.agreement is not None and 0 <= result.agreement <= 1
    assert result.kl is not None and result.kl > 0
    assert content["teacher_sha256"] == facekd.load(teacher).fingerprint


def test_a_model_agrees_with_itself(data: Path, student: Run) -> None:
    result = classify(student.path, data, teacher=student.model, device="cpu")
    assert (result.agreement, result.kl) == (1.0, 0.0)


def test_another_split_has_another_name(data: Path, student: Run) -> None:
    assert classify(student.path, data, split="train", device="cpu").images == IMAGES * CLASSES
    assert [file.name for file in student.results.iterdir()] == ["classify-things-train.json"]


def test_a_result_has_the_given_name(data: Path, student: Run) -> None:
    classify(student.path, data, name="noise", device="cpu")
    assert (student.results / "classify-noise.json").is_file()


def test_the_first_classes_only(data: Path, tmp_path: Path) -> None:
    result = classify(network(tmp_path / "m.safetensors", outputs=3), data, classes=3, device="cpu")
    assert list(result.per_class) == ["n00000000", "n00000001", "n00000002"]
    assert result.images == 3 * 2 * IMAGES and result.top5 is None


def test_a_network_of_other_classes_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^m has 3 outputs, .*things/val has 7 classes; give the classes"):
        classify(network(tmp_path / "m.safetensors", outputs=3), data, device="cpu")


def test_a_missing_teacher_is_named(data: Path, student: Run, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.safetensors does not exist"):
        classify(student.path, data, teacher=tmp_path / "none.safetensors", device="cpu")


def test_the_result_is_in_the_report(data: Path, student: Run) -> None:
    result = classify(student.path, data, device="cpu")
    text = write_report(load_run_data(student.path)).read_text(encoding="utf-8")
    assert "Classification" in text and f"{100 * result.top1:.2f} [" in text


def test_the_imagenet_sample_is_classified(shared: Path, tmp_path: Path) -> None:
    result = classify(network(tmp_path / "m.safetensors", outputs=20), shared / "classes" / "imagenet-sample",
                     device="cpu")
    assert (result.images, result.classes) == (200, 20)
    assert result.top1_interval[0] <= result.top1 <= result.top1_interval[1] < 0.3
