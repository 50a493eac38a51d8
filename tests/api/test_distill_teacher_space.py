"""What a run says about student and teacher: cosines on training and on held-out images, and the shared space."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from facekd.api.distill import distill
from facekd.api.plan import plan
from facekd.config import DataRecipe
from facekd.data.training_set import TrainingSet, open_training_set
from facekd.errors import ModelError, RecipeError, SetupError
from facekd.io.files import sha256
from facekd.models.registry import create
from facekd.models.weights import load_model, save_model
from facekd.run import Run
from tests.api.test_distill import log

SHORT = (
    "student.name=iresnet10", "student.options={width: 0.25}", "student.size=32", "student.embedding=16",
    "head.scale=16", "training.batch_size=8", "training.epochs=2", "training.learning_rate=0.05",
    "machine.device=cpu", "machine.threads=1", "method=cosine",
)
HELD_OUT = (*SHORT, "data.val_fraction=0.2")


@pytest.fixture
def final_plan(teacher_run: Path, tmp_path: Path) -> Path:
    """A plan of the end of the route, whose embeddings have 16 numbers; the route is a copy without caches."""
    shutil.copytree(teacher_run / "route", tmp_path / "route")
    plan(tmp_path / "route", tmp_path / "final.json", strategy="final", anchors=1)
    return tmp_path / "final.json"


def held_out_images(faces: Path) -> TrainingSet:
    return open_training_set(faces, DataRecipe(val_fraction=0.2), closed_set=False)


def test_the_cosine_on_held_out_images_is_that_of_the_written_networks(
    small_faces: Path, final_plan: Path, tmp_path: Path
) -> None:
    run = distill(small_faces, final_plan, tmp_path / "run", *HELD_OUT)
    images = held_out_images(small_faces).held_out
    assert images is not None
    pixels = torch.from_numpy(np.stack([images.pixels(index) for index in range(len(images))]))
    points = sorted((tmp_path / "route").glob("*.safetensors"))
    with torch.no_grad():
        student, teacher = ((model := load_model(file))(model.preprocess(pixels)).double().numpy()
                            for file in (run / "model.safetensors", points[-1]))
    cosines = (student * teacher).sum(1) / np.linalg.norm(student, axis=1) / np.linalg.norm(teacher, axis=1)
    info = Run(run).info()
    assert log(run)[-1]["held_out_cosine"] == pytest.approx(cosines.mean(), abs=2e-5)
    assert info["teacher_fit"]["held_out"] == round(log(run)[-1]["held_out_cosine"], 4)
    assert info["teacher_fit"]["held_out_images"] == len(images) == 10


def test_measuring_changes_no_weight(small_faces: Path, final_plan: Path, tmp_path: Path) -> None:
    measured = distill(small_faces, final_plan, tmp_path / "measured", *HELD_OUT)
    without = distill(small_faces, final_plan, tmp_path / "without", *HELD_OUT, "held_out_images=0")
    assert (measured / "model.safetensors").read_bytes() == (without / "model.safetensors").read_bytes()
    lines = log(measured)
    assert [line.pop("held_out_cosine", None) is not None for line in lines] == [True, True]  # two ends of epochs
    assert lines == log(without)


def test_the_cosine_is_one_less_the_loss(small_faces: Path, final_plan: Path, tmp_path: Path) -> None:
    run = distill(small_faces, final_plan, tmp_path / "run", *SHORT, "losses={cosine: 1}", "method=\"\"")
    for line in log(run):
        assert line["teacher_cosine"] == pytest.approx(1 - line["cosine"], abs=1e-5)


@pytest.mark.parametrize("method", ["rkd", "shrinkteanet-ours"])
def test_every_loss_of_embeddings_shows_the_cosine(
    small_faces: Path, final_plan: Path, tmp_path: Path, method: str
) -> None:
    run = distill(small_faces, final_plan, tmp_path / "run", *SHORT, f"method={method}", "training.epochs=0.5")
    assert all(-1 <= line["teacher_cosine"] <= 1 for line in log(run))


def test_the_end_is_told_in_a_sentence(
    small_faces: Path, final_plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = distill(small_faces, final_plan, tmp_path / "run", *HELD_OUT)
    sentence = Run(run).info()["teacher_fit"]["sentence"]
    assert sentence.startswith("cosine to the teacher ") and sentence.endswith(" on 10 held-out images")
    shown = capsys.readouterr().err
    assert sentence in shown and "held out 0." in shown


def test_held_out_images_without_a_fraction_are_refused(small_faces: Path, final_plan: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"held_out_images has no effect.*data\.val_fraction=0\.05"):
        distill(small_faces, final_plan, tmp_path / "run", *SHORT, "held_out_images=10")


def test_a_shorter_student_leaves_with_the_length_of_its_teacher(
    small_faces: Path, final_plan: Path, tmp_path: Path
) -> None:
    run = distill(small_faces, final_plan, tmp_path / "run", *HELD_OUT, "student.embedding=8")
    model = load_model(run / "model.safetensors")
    assert (model.spec.outputs, model.spec.embedding) == (16, 8)
    info = Run(run).info()
    assert info["model"]["outputs"] == 16
    end = max((tmp_path / "route").glob("*.safetensors"))
    assert info["compatible_with"] == {"name": f"{tmp_path.name}/{end.name}", "sha256": sha256(end), "dimension": 16}


def test_an_incompatible_student_keeps_its_length(
    small_faces: Path, final_plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = distill(small_faces, final_plan, tmp_path / "run", *SHORT, "student.embedding=8", "student.compatible=false",
                  "training.epochs=0.5")
    assert load_model(run / "model.safetensors").spec.outputs == 8
    assert Run(run).info()["compatible_with"] is None
    assert "its embeddings have 8 numbers, those of the teacher 16" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["rkd", "prokt"])
def test_relations_and_joint_teachers_give_no_shared_space(
    small_faces: Path, final_plan: Path, tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = distill(small_faces, final_plan, tmp_path / "run", *SHORT, f"method={method}", "training.epochs=0.5")
    assert Run(run).info()["compatible_with"] is None
    assert "will not answer in its teacher's space: no term of the loss" in capsys.readouterr().err


@pytest.mark.parametrize(("overrides", "reason"), [
    ((), "have embeddings of 16 numbers"), (("method=rkd",), "no term of the loss"),
])
def test_incompatible_without_effect_is_refused(
    small_faces: Path, final_plan: Path, tmp_path: Path, overrides: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(ModelError, match=f"student.compatible=false has no effect.*{reason}.*leave it out"):
        distill(small_faces, final_plan, tmp_path / "run", *SHORT, "student.compatible=false", *overrides)


def test_other_weights_in_the_file_of_the_student_are_noticed(
    small_faces: Path, final_plan: Path, tmp_path: Path
) -> None:
    file = tmp_path / "initial.safetensors"
    values = (f"student={{weights: {file}}}", *SHORT[4:])
    save_model(create("iresnet10", size=32, outputs=16, width=0.25), file)
    run = distill(small_faces, final_plan, tmp_path / "run", *values)
    assert Run(run).info()["student_weights"] == sha256(file)
    save_model(create("iresnet10", size=32, outputs=16, width=0.25), file)
    with pytest.raises(SetupError, match=r"other weights in the file of student\.weights"):
        distill(small_faces, final_plan, tmp_path / "run", *values)
