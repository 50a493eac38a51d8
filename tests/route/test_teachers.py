from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facekd.config import HeadRecipe, LossRecipe, MachineRecipe
from facekd.data.containers.class_set import open_classes
from facekd.data.loading.augmentation import Augmentation, Crop, Flip, ResizedCrop
from facekd.data.loading.loader import Batch, Loader
from facekd.errors import RouteError
from facekd.methods.distillation import Distillation
from facekd.methods.objective import Mixture
from facekd.models.registry import create
from facekd.models.weights import load_model
from facekd.route.route import Route
from facekd.route.teachers import Anchors
from facekd.training.machine import Machine
from facekd.training.method import Stage

BOUNDS = [("float16", 1e-3), ("float32", 1e-6)]
VIEWS = {"flip": Flip(3), "crop": Crop(3), "resized-crop": ResizedCrop(3), "plain": Augmentation()}
MACHINE = Machine(MachineRecipe(device="cpu", threads=1))
Make = Callable[..., Anchors]


@pytest.fixture
def make(random_route: Route, small_classes: Path) -> Make:
    images = open_classes(small_classes, "train")
    fingerprint = images.fingerprint()

    def anchors(kind: Any, augmentation: Augmentation = VIEWS["flip"], seed: int = 0, size: int = 32,
                inside: bool = False) -> Anchors:
        return Anchors(random_route, Loader(images, size, 7, seed, augmentation), fingerprint, kind, MACHINE, inside)

    return anchors


def caches(anchors: Anchors) -> dict[str, int]:
    """The cache files that are there, and when they were written."""
    return {file.name: file.stat().st_mtime_ns for file in (anchors.route.folder / "cache").glob("*")}


def shown(anchors: Anchors, epochs: int = 3) -> list[Batch]:
    return list(itertools.chain.from_iterable(anchors.loader.epoch(epoch) for epoch in range(epochs)))


@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize(("kind", "bound"), BOUNDS)
def test_cached_and_live_anchors_agree_on_all_that_three_epochs_show(
    make: Make, views: str, kind: str, bound: float
) -> None:
    cached, live = make(kind, VIEWS[views]), make("off", VIEWS[views])
    one, other = cached.teacher([1]), live.teacher([1])
    assert one.dimension == other.dimension == 4
    batches = shown(cached)
    for batch in batches:
        found, truth = one.answer(batch).outputs, other.answer(batch).outputs
        assert (found.dtype, found.shape) == (torch.float32, (7, 4))
        assert float((found - truth).norm() / truth.norm()) < bound
    slots = {slot for batch in batches for slot in batch.slot.tolist()}
    assert slots == {"flip": {0, 1}, "plain": {0}}.get(views, {0, 1, 2})
    assert len(caches(cached)) == len(slots)


def test_versions_differ_so_that_mixing_them_up_would_show(make: Make) -> None:
    for views in ("flip", "crop", "resized-crop"):
        one, other = (make("float32", VIEWS[views]).outputs(1, slot) for slot in (0, 1))
        assert np.linalg.norm(one - other) / np.linalg.norm(one) > 0.01


@pytest.mark.parametrize(("kind", "bound"), BOUNDS)
def test_a_method_cannot_tell_them_apart(make: Make, kind: str, bound: float) -> None:
    batch, losses = shown(make("off", VIEWS["crop"]))[8], []
    terms = Mixture({"kd": LossRecipe(weight=0.9), "l2": LossRecipe(weight=1), "labels": LossRecipe(weight=0.1)})
    for anchors in (make("off", VIEWS["crop"]), make(kind, VIEWS["crop"])):
        torch.manual_seed(0)
        student = create("resnet8", size=32, outputs=4, width=0.5)
        sample = anchors.teacher([0]).sample()
        method = Distillation(student, terms, anchors.teacher, sample, HeadRecipe(name="softmax"), anchors.loader)
        method.begin(Stage(1, (2,)))
        losses.append({name: float(value.detach()) for name, value in method.losses(batch, 0.0).items()})
    assert losses[0].keys() == {"kd", "l2", "labels"}
    assert losses[1] == pytest.approx(losses[0], rel=3 * bound)


def test_a_slot_is_computed_once_whoever_asks(make: Make) -> None:
    first = make("float16", Crop(3))
    for teacher in (first.teacher([0]), first.teacher([0])):
        for batch in shown(first, 2):
            teacher.answer(batch)
    made = caches(first)
    assert len(made) == 2
    other = make("float16", Crop(3), seed=5)  # a run of another seed, whose batches are others
    assert not torch.equal(shown(other)[0].index, shown(first)[0].index)
    for batch in shown(other, 2):
        other.teacher([0]).answer(batch)
    assert caches(first) == made


def test_other_versions_are_other_files(make: Make) -> None:
    made: set[str] = set()
    for number, (kind, views) in enumerate([("float16", Crop(3)), ("float32", Crop(3)), ("float16", Crop(4)),
                                            ("float16", Crop(3, padding=2)), ("float16", ResizedCrop(3))], 1):
        make(kind, views).outputs(0)
        made |= set(caches(make(kind, views)))
        assert len(made) == number
    before, after = (make("float32", Crop(seed)).outputs(0) for seed in (3, 4))
    assert not np.array_equal(before, after)


@pytest.mark.parametrize("kind", ["float32", "off"])
def test_several_points_are_followed_by_the_mean_of_their_outputs(make: Make, kind: str) -> None:
    anchors = make(kind)
    batch = shown(anchors)[0]
    teacher = anchors.teacher([0, 2])
    inputs = batch.images.permute(0, 3, 1, 2).float().sub(127.5).div(127.5)
    with torch.no_grad():
        zero, two = (load_model(anchors.route.point_file(point))(inputs).double() for point in (0, 2))
    torch.testing.assert_close(teacher.answer(batch).outputs.double(), (zero + two) / 2, rtol=1e-5, atol=1e-5)
    assert teacher.dimension == teacher.sample().outputs.shape[1] == 4


@pytest.mark.parametrize("kind", ["float16", "off"])
def test_maps_are_always_live(make: Make, kind: str) -> None:
    anchors = make(kind, VIEWS["crop"], inside=True)
    batch, network = shown(anchors)[0], load_model(anchors.route.point_file(1))
    answer, sample = anchors.teacher([1]).answer(batch), anchors.teacher([1]).sample()
    assert len(answer.maps) == len(network.stages) > 1
    kept: list[torch.Tensor] = []
    network.get_submodule(network.stages[0]).register_forward_hook(lambda module, inputs, output: kept.append(output))
    with torch.no_grad():
        truth = network(network.inputs(batch.images))
    torch.testing.assert_close(answer.outputs, truth, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(answer.maps[0], kept[0], rtol=1e-5, atol=1e-5)
    assert [m.shape[1:] for m in sample.maps] == [m.shape[1:] for m in answer.maps]
    assert caches(anchors) == {}


def test_a_live_anchor_does_not_train_and_gives_no_gradient(make: Make) -> None:
    batch, teacher = shown(make("off"))[0], make("off").teacher([1])
    once = teacher.answer(batch).outputs
    part = Batch(batch.images[:1], batch.labels[:1], batch.index[:1], batch.slot[:1])
    assert not once.requires_grad
    torch.testing.assert_close(teacher.answer(part).outputs, once[:1], rtol=1e-4, atol=1e-5)  # no batch statistics
    assert torch.equal(teacher.answer(batch).outputs, once)


def test_crops_of_another_size_are_refused_even_where_a_cache_is_there(make: Make) -> None:
    make("float16", VIEWS["crop"]).outputs(1)
    with pytest.raises(RouteError, match=r"takes 32 px and the student 48 px.*data\.views\.kind=flip or resized-crop"):
        make("float16", VIEWS["crop"], size=48).teacher([1])


@pytest.mark.parametrize("views", ["flip", "resized-crop"])
def test_a_cached_anchor_of_another_size_sees_its_own_pixels(make: Make, views: str) -> None:
    made = np.array(make("float32", VIEWS[views]).outputs(1))
    shutil.rmtree(make("off").route.folder / "cache")
    np.testing.assert_array_equal(make("float32", VIEWS[views], size=48).outputs(1), made)


@pytest.mark.parametrize("kind", ["float16", "off"])
def test_a_live_anchor_of_another_size_is_refused(make: Make, kind: str) -> None:
    with pytest.raises(RouteError, match="takes 32 px and the student 48 px; a live teacher sees the student's images"):
        make(kind, size=48, inside=kind != "off").teacher([1])


def test_a_damaged_cache_is_refused_by_name(make: Make) -> None:
    anchors = make("float16")
    anchors.outputs(0)
    (name,) = caches(anchors)
    (anchors.route.folder / "cache" / name).write_bytes(b"\x93NUMPY")
    with pytest.raises(RouteError, match=rf"{name} is damaged .*delete it, it is made again"):
        anchors.outputs(0)


def test_a_changed_point_is_refused(make: Make) -> None:
    anchors = make("float16")
    shutil.copy(anchors.route.point_file(0), anchors.route.point_file(1))
    with pytest.raises(RouteError, match="not the file that was recorded"):
        anchors.outputs(1)
