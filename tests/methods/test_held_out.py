"""The measurement on held-out images; tests/api/test_distill_teacher_space.py compares its value with the networks'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facekd.config import DataRecipe, DistillRecipe, HeadRecipe, LossRecipe, MachineRecipe
from facekd.data.loading.loader import Loader
from facekd.data.training_set import TrainingSet, open_training_set
from facekd.methods.distillation import Distillation, build_distillation
from facekd.methods.held_out import HeldOutCosine, build_held_out_cosine
from facekd.methods.objective import parse_objective
from facekd.models.registry import create
from facekd.models.weights import load_model
from facekd.route.plan import Plan
from facekd.route.route import Route
from facekd.route.teachers import AnchorTeachers
from facekd.training.machine import Machine
from facekd.training.method import Stage

MACHINE = Machine(MachineRecipe(device="cpu"))


@pytest.fixture
def data(small_faces: Path) -> TrainingSet:
    return open_training_set(small_faces, DataRecipe(val_fraction=0.4), closed_set=False)


@pytest.fixture
def route(teacher_run: Path) -> Route:
    return Route.open(teacher_run)


@pytest.fixture
def method(data: TrainingSet, route: Route) -> Distillation:
    """A student of the end of the route that has been trained on nothing."""
    loader = Loader(data.images, 32, batch_size=4, seed=0, augmentation=data.augmentation)
    anchors = AnchorTeachers(route, loader, data.images.fingerprint(), "float32", MACHINE)
    torch.manual_seed(0)
    student = create("iresnet10", size=32, outputs=16, width=0.25)
    objective = parse_objective("", {"l2": LossRecipe()}, False)
    last = (len(route.points) - 1,)
    built = build_distillation(student, objective, anchors.teacher, anchors.teacher(last).example_output(),
                               HeadRecipe(), loader)
    built.on_stage_start(Stage(1, last))
    return built.train()


def build(method: Distillation, data: TrainingSet, route: Route, **values: Any) -> HeldOutCosine | None:
    recipe = DistillRecipe.model_validate({"dataset": "d", "plan": "p", "out": "o", "data": {"val_fraction": 0.4},
                                           "student": {"size": 32}, **values})
    return build_held_out_cosine(method, data, Plan(route.folder, "final", []), route, recipe, MACHINE)


def test_nothing_in_the_method_changes(method: Distillation, data: TrainingSet, route: Route) -> None:
    before = {name: value.clone() for name, value in method.state_dict().items()}
    random_state = torch.get_rng_state()
    measure = build(method, data, route)
    assert measure is not None
    first, second = measure(), measure()
    assert first == second
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state) and method.student.training
    assert all(weight.grad is None for weight in method.parameters())


def test_the_number_of_images_is_bounded(method: Distillation, data: TrainingSet, route: Route) -> None:
    measure = build(method, data, route, held_out_images=5)
    assert measure is not None and measure.images == 5 and data.held_out is not None
    chosen = np.linspace(0, len(data.held_out) - 1, 5).round().astype(int)
    pixels = torch.from_numpy(np.stack([data.held_out.pixels(index) for index in chosen.tolist()]))
    teacher = load_model(route.point_file(len(route.points) - 1))
    with torch.no_grad():
        outputs = [network(network.preprocess(pixels)).double().numpy() for network in (method.student.eval(), teacher)]
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in outputs]
    assert measure()["held_out_cosine"] == pytest.approx((unit[0] * unit[1]).sum(1).mean(), abs=1e-5)


def test_the_teacher_is_that_of_the_stage(method: Distillation, data: TrainingSet, route: Route) -> None:
    measure = build(method, data, route)
    assert measure is not None
    of_end = measure()
    method.on_stage_start(Stage(2, (0,)))
    assert measure() != of_end


@pytest.mark.parametrize("values", [{"held_out_images": 0}, {"head": {"name": "softmax"}}], ids=str)
def test_nothing_is_measured_without_images_or_embeddings(
    method: Distillation, data: TrainingSet, route: Route, values: dict[str, Any]
) -> None:
    assert build(method, data, route, **values) is None


def test_nothing_is_measured_without_a_held_out_part(
    method: Distillation, small_faces: Path, route: Route
) -> None:
    whole = open_training_set(small_faces, DataRecipe(), closed_set=False)
    assert build(method, whole, route) is None
