"""``eval cifar`` and ``eval imagenet``: the JSON that other programs rely on, and figures taken another way."""

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
from facekd.data.transforms import centre, decode
from facekd.errors import DataError, ModelError
from facekd.models.registry import create
from facekd.models.weights import load_model, save_model
from facekd.reporting.run_report import write_report
from facekd.run import Run

CLASSES, IMAGES = 7, 4
FIELDS = {"top1", "top1_interval", "top5", "top5_interval", "per_class", "ece", "reliability", "nll", "images",
          "classes", "agreement", "kl", "notes", "kind", "name", "model", "model_sha256", "hardware", "command",
          "data", "split", "teacher", "teacher_sha256"}


def network(path: Path, outputs: int = CLASSES, size: int = 32, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    save_model(create("mobilenetv2", size=size, outputs=outputs, width=0.25, expansion=2), path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An ImageNet folder of noise, of another shape than a network takes; ``val`` has twice as many images."""
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
    with pytest.raises(SystemExit) as ended:
        main(["eval", "cifar", "--model", str(student.path), "--data", str(data), "--json", str(out)])
    assert not ended.value.code
    assert json.loads(out.read_text(encoding="utf-8")).keys() >= FIELDS - {"teacher_sha256"}
    assert "top-1" in capsys.readouterr().out


def test_the_figures_are_those_of_the_network(data: Path, tmp_path: Path) -> None:
    model = network(tmp_path / "m.safetensors")
    files = sorted((data / "val").glob("*/*.png"))
    labels = [int(file.parent.name[1:]) for file in files]
    views = np.stack([centre(decode(file.read_bytes(), ""), 32) for file in files])
    net = load_model(model)
    with torch.inference_mode():
        logits = net(net.inputs(torch.from_numpy(views))).numpy()
    found = classify(model, data, device="cpu")
    assert (found.images, found.classes) == (2 * IMAGES * CLASSES, CLASSES)
    assert found.top1 == pytest.approx(top_k_accuracy_score(labels, logits, k=1))
    assert found.top5 == pytest.approx(top_k_accuracy_score(labels, logits, k=5))
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.tensor(labels))
    assert found.nll == pytest.approx(float(loss), rel=1e-5)


def test_a_run_folder_keeps_its_results(data: Path, student: Run, tmp_path: Path) -> None:
    found = classify(student.path, data, json=tmp_path / "out.json", device="cpu")
    kept = json.loads((student.results / "classify-things.json").read_text())
    assert kept == json.loads((tmp_path / "out.json").read_text())
    assert kept.keys() == FIELDS
    assert (kept["top1"], kept["kind"], kept["name"]) == (found.top1, "classify", "things")
    assert kept["model_sha256"] == facekd.load(student.model).fingerprint
    assert kept["teacher"] is None and kept["agreement"] is None


def test_a_teacher_of_another_size_is_compared_with(data: Path, student: Run, tmp_path: Path) -> None:
    teacher = network(tmp_path / "teacher.safetensors", size=48, seed=1)
    found = classify(student.path, data, teacher=teacher, device="cpu")
    kept = json.loads((student.results / "classify-things.json").read_text())
    assert found.agreement is not None and 0 <= found.agreement <= 1 and found.kl is not None and found.kl > 0
    assert kept["teacher_sha256"] == facekd.load(teacher).fingerprint


def test_a_model_agrees_with_itself(data: Path, student: Run) -> None:
    found = classify(student.path, data, teacher=student.model, device="cpu")
    assert (found.agreement, found.kl) == (1.0, 0.0)


def test_another_split_has_another_name(data: Path, student: Run) -> None:
    assert classify(student.path, data, split="train", device="cpu").images == IMAGES * CLASSES
    assert [file.name for file in student.results.iterdir()] == ["classify-things-train.json"]


def test_a_result_is_called_as_it_is_asked(data: Path, student: Run) -> None:
    classify(student.path, data, name="noise", device="cpu")
    assert (student.results / "classify-noise.json").is_file()


def test_the_first_classes_only(data: Path, tmp_path: Path) -> None:
    found = classify(network(tmp_path / "m.safetensors", outputs=3), data, classes=3, device="cpu")
    assert list(found.per_class) == ["n00000000", "n00000001", "n00000002"]
    assert found.images == 3 * 2 * IMAGES and found.top5 is None


def test_a_network_of_other_classes_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^m has 3 outputs, .*things/val has 7 classes; give the classes"):
        classify(network(tmp_path / "m.safetensors", outputs=3), data, device="cpu")


def test_a_teacher_that_is_not_there_is_said(data: Path, student: Run, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.safetensors does not exist"):
        classify(student.path, data, teacher=tmp_path / "none.safetensors", device="cpu")


def test_the_result_stands_in_the_report(data: Path, student: Run) -> None:
    found = classify(student.path, data, device="cpu")
    text = write_report(student.path).read_text(encoding="utf-8")
    assert "Classification" in text and f"{100 * found.top1:.2f} [" in text


def test_the_imagenet_sample_is_classified(shared: Path, tmp_path: Path) -> None:
    found = classify(network(tmp_path / "m.safetensors", outputs=20), shared / "classes" / "imagenet-sample",
                     device="cpu")
    assert (found.images, found.classes) == (200, 20)
    assert found.top1_interval[0] <= found.top1 <= found.top1_interval[1] < 0.3
