from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from facekd.errors import RecipeError
from facekd.models.registry import create
from facekd.models.weights import load_spec, save_model
from facekd.preflight.job import open_job


def test_the_quantities_of_a_run_follow_from_recipe_and_data(recipe: Path) -> None:
    job = open_job(recipe, ["training.batch_size=8", "training.gradient_accumulation_steps=2"], 4)
    assert (job.num_classes, len(job.data.images)) == (8, 48)
    assert (job.images_per_step, job.images_per_process) == (16, 2)
    assert (job.steps_per_epoch, job.total_steps) == (3, 9)
    assert (job.teacher, job.objective, job.has_head, job.needs_live_teacher) == (None, None, True, False)


def test_the_meta_network_has_the_shapes_of_the_network(recipe: Path) -> None:
    job = open_job(recipe, [], 1)
    weights = {name: tensor.shape for name, tensor in job.build_network().state_dict().items()}
    meta = job.meta_network.state_dict()
    assert {name: tensor.shape for name, tensor in meta.items()} == weights
    assert {tensor.device.type for tensor in meta.values()} == {"meta"}


def test_a_recipe_with_a_plan_is_that_of_a_student(student_recipe: Path, teacher_run: Path) -> None:
    job = open_job(student_recipe, [], 1)
    assert job.teacher is not None and job.objective is not None
    assert job.teacher.route.folder.resolve() == (teacher_run / "route").resolve()
    assert job.teacher.plan.strategy == "final"
    assert not job.has_head  # the default loss, l2, uses no labels
    assert job.model_recipe is job.recipe.student  # type: ignore[union-attr]


@pytest.mark.parametrize(("override", "live"), [
    ("teacher_cache=float16", False), ("teacher_cache=off", True), ("method=at", True), ("method=rkd", False),
])
def test_a_teacher_is_live_if_it_is_not_cached_or_a_loss_needs_more_than_outputs(
    student_recipe: Path, override: str, live: bool
) -> None:
    assert open_job(student_recipe, [override], 1).needs_live_teacher is live


@pytest.mark.parametrize(("overrides", "dtype"), [
    ([], torch.float32), (["machine.precision=float16"], torch.float16),
    (["machine.device=cuda"], torch.bfloat16), (["machine.device=cuda:1"], torch.bfloat16),
    (["machine.device=cuda", "machine.precision=float32"], torch.float32),
])
def test_the_precision_follows_from_the_device(recipe: Path, overrides: list[str], dtype: torch.dtype) -> None:
    job = open_job(recipe, overrides or ["machine.device=cpu"], 1)
    assert job.dtype == dtype
    assert job.device == ("cuda" if any("cuda" in key for key in overrides) else open_job(recipe, [], 1).device)


@pytest.mark.parametrize(("override", "error"), [
    ("model.name=iresnet7", RecipeError), ("head.name=arcfaze", RecipeError), ("training.batch=3", RecipeError),
])
def test_a_run_that_cannot_be_built_is_refused(recipe: Path, override: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        open_job(recipe, [override], 1)


def test_a_student_with_weights_is_that_of_the_file(student_recipe: Path, tmp_path: Path) -> None:
    text = student_recipe.read_text(encoding="utf-8")
    head, _, rest = text.partition("student:")
    other_sections = rest[re.search(r"\n\S", rest).start() :]  # type: ignore[union-attr]
    file = tmp_path / "part.safetensors"
    save_model(create("mobilefacenet", size=48, outputs=16, width=0.25), file)
    student_recipe.write_text(f"{head}student: {{weights: {file}}}{other_sections}", encoding="utf-8")
    job = open_job(student_recipe, [], 1)
    assert job.meta_network.spec == load_spec(file)
    assert (job.model_recipe.size, job.model_recipe.name) == (48, "mobilefacenet")


def test_a_student_of_another_length_is_planned_with_its_output_layer(student_recipe: Path) -> None:
    spec = open_job(student_recipe, ["student.embedding=8"], 1).meta_network.spec
    assert (spec.outputs, spec.embedding) == (16, 8)
