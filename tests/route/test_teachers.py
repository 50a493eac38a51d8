from __future__ import annotations

import copy
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facekd.config import HeadRecipe, LossRecipe, MachineRecipe
from facekd.data.containers.class_set import open_class_set
from facekd.data.loading.augmentation import Augmentation, Flip, NoAugmentation
from facekd.data.loading.crops import Crop, ResizedCrop
from facekd.data.loading.loader import Batch, Loader
from facekd.errors import RouteError, SetupError
from facekd.methods.distillation import build_distillation
from facekd.methods.objective import Objective
from facekd.models.registry import create
from facekd.models.weights import load_model
from facekd.route import teachers
from facekd.route.import_checkpoints import import_route
from facekd.route.route import Route
from facekd.route.teachers import AnchorTeachers
from facekd.training.machine import Machine
from facekd.training.method import Stage
from tests.route.test_teacher import write_mean_color

BOUNDS = [("float16", 1e-3), ("float32", 1e-6)]
AUGMENTATIONS = {"flip": Flip(3), "crop": Crop(3), "resized-crop": ResizedCrop(3), "plain": NoAugmentation()}
MACHINE = Machine(MachineRecipe(device="cpu", threads=1))
Make = Callable[..., AnchorTeachers]


@pytest.fixture
def make(random_route: Route, small_classes: Path) -> Make:
    images = open_class_set(small_classes, "train")
    fingerprint = images.fingerprint()

    def anchors(cache_dtype: Any, augmentation: Augmentation = AUGMENTATIONS["flip"], seed: int = 0, size: int = 32,
                with_features: bool = False, rotations: Any = None) -> AnchorTeachers:
        loader = Loader(images, size, batch_size=7, seed=seed, augmentation=augmentation)
        return AnchorTeachers(random_route, loader, fingerprint, cache_dtype, MACHINE, with_features=with_features,
                              rotations=rotations)

    return anchors


def caches(anchors: AnchorTeachers) -> dict[str, int]:
    """The existing cache files with their modification times in ns."""
    return {file.name: file.stat().st_mtime_ns for file in (anchors.route.folder / "cache").glob("*.npy")}


def batches_of(anchors: AnchorTeachers, epochs: int = 3) -> list[Batch]:
    return list(itertools.chain.from_iterable(anchors.loader.iter_epoch(epoch) for epoch in range(epochs)))


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
@pytest.mark.parametrize(("cache_dtype", "bound"), BOUNDS)
def test_cached_and_live_anchors_agree_on_all_that_three_epochs_show(
    make: Make, augmentation: str, cache_dtype: str, bound: float
) -> None:
    cached, live = make(cache_dtype, AUGMENTATIONS[augmentation]), make("off", AUGMENTATIONS[augmentation])
    cached_teacher, live_teacher = cached.teacher([1]), live.teacher([1])
    assert cached_teacher.dimension == live_teacher.dimension == 4
    batches = batches_of(cached)
    for batch in batches:
        outputs, truth = cached_teacher.forward(batch).outputs, live_teacher.forward(batch).outputs
        assert (outputs.dtype, outputs.shape) == (torch.float32, (7, 4))
        assert float((outputs - truth).norm() / truth.norm()) < bound
    slots = {slot for batch in batches for slot in batch.cache_slot.tolist()}
    assert slots == {"flip": {0, 1}, "plain": {0}}.get(augmentation, {0, 1, 2})
    assert len(caches(cached)) == len(slots)


def test_versions_differ_so_that_mixing_them_up_would_show(make: Make) -> None:
    for name in ("flip", "crop", "resized-crop"):
        one, other = (make("float32", AUGMENTATIONS[name]).outputs(1, slot) for slot in (0, 1))
        assert np.linalg.norm(one - other) / np.linalg.norm(one) > 0.01


@pytest.mark.parametrize(("cache_dtype", "bound"), BOUNDS)
def test_a_method_cannot_tell_them_apart(make: Make, cache_dtype: str, bound: float) -> None:
    batch, losses = batches_of(make("off", AUGMENTATIONS["crop"]))[8], []
    objective = Objective({"kd": LossRecipe(weight=0.9), "l2": LossRecipe(weight=1), "labels": LossRecipe(weight=0.1)})
    for anchors in (make("off", AUGMENTATIONS["crop"]), make(cache_dtype, AUGMENTATIONS["crop"])):
        torch.manual_seed(0)
        student = create("resnet8", size=32, outputs=4, width=0.5)
        example = anchors.teacher([0]).example_output()
        method = build_distillation(student, objective, anchors.teacher, example, HeadRecipe(name="softmax"),
                                    anchors.loader)
        method.on_stage_start(Stage(1, (2,)))
        losses.append({name: float(value.detach()) for name, value in method.losses(batch, 0.0).items()})
    assert losses[0].keys() == {"kd", "l2", "labels"}
    assert losses[1] == pytest.approx(losses[0], rel=3 * bound)


def test_a_slot_is_computed_once_for_all_teachers(make: Make) -> None:
    first = make("float16", Crop(3))
    for teacher in (first.teacher([0]), first.teacher([0])):
        for batch in batches_of(first, 2):
            teacher.forward(batch)
    files = caches(first)
    assert len(files) == 2
    other = make("float16", Crop(3), seed=5)  # a run with another seed and other batches
    assert not torch.equal(batches_of(other)[0].index, batches_of(first)[0].index)
    for batch in batches_of(other, 2):
        other.teacher([0]).forward(batch)
    assert caches(first) == files


def test_other_versions_are_other_files(make: Make) -> None:
    files: set[str] = set()
    versions = [("float16", Crop(3)), ("float32", Crop(3)), ("float16", Crop(4)), ("float16", Crop(3, padding=2)),
                ("float16", ResizedCrop(3))]
    for number, (cache_dtype, augmentation) in enumerate(versions, 1):
        make(cache_dtype, augmentation).outputs(0)
        files |= set(caches(make(cache_dtype, augmentation)))
        assert len(files) == number
    before, after = (make("float32", Crop(seed)).outputs(0) for seed in (3, 4))
    assert not np.array_equal(before, after)


@pytest.mark.parametrize("cache_dtype", ["float32", "off"])
def test_several_points_are_followed_by_the_mean_of_their_outputs(make: Make, cache_dtype: str) -> None:
    anchors = make(cache_dtype)
    batch = batches_of(anchors)[0]
    teacher = anchors.teacher([0, 2])
    inputs = batch.images.permute(0, 3, 1, 2).float().sub(127.5).div(127.5)
    with torch.no_grad():
        zero, two = (load_model(anchors.route.point_file(point))(inputs).double() for point in (0, 2))
    torch.testing.assert_close(teacher.forward(batch).outputs.double(), (zero + two) / 2, rtol=1e-5, atol=1e-5)
    assert teacher.dimension == teacher.example_output().outputs.shape[1] == 4


@pytest.mark.parametrize("cache_dtype", ["float16", "off"])
def test_maps_are_always_live(make: Make, cache_dtype: str) -> None:
    anchors = make(cache_dtype, AUGMENTATIONS["crop"], with_features=True)
    batch, network = batches_of(anchors)[0], load_model(anchors.route.point_file(1))
    output, example = anchors.teacher([1]).forward(batch), anchors.teacher([1]).example_output()
    assert len(output.feature_maps) == len(network.stages) > 1
    maps: list[torch.Tensor] = []
    network.get_submodule(network.stages[0]).register_forward_hook(lambda module, inputs, result: maps.append(result))
    with torch.no_grad():
        truth = network(network.preprocess(batch.images))
    torch.testing.assert_close(output.outputs, truth, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(output.feature_maps[0], maps[0], rtol=1e-5, atol=1e-5)
    assert [m.shape[1:] for m in example.feature_maps] == [m.shape[1:] for m in output.feature_maps]
    assert caches(anchors) == {}


def test_a_live_anchor_does_not_train_and_gives_no_gradient(make: Make) -> None:
    batch, teacher = batches_of(make("off"))[0], make("off").teacher([1])
    first = teacher.forward(batch).outputs
    single = Batch(batch.images[:1], batch.labels[:1], batch.index[:1], batch.cache_slot[:1])
    assert not first.requires_grad
    torch.testing.assert_close(teacher.forward(single).outputs, first[:1], rtol=1e-4, atol=1e-5)  # no batch statistics
    assert torch.equal(teacher.forward(batch).outputs, first)


def test_crops_of_another_size_are_refused_even_if_a_cache_exists(make: Make) -> None:
    make("float16", AUGMENTATIONS["crop"]).outputs(1)
    message = r"takes 32 px and the student 48 px.*data\.augmentation\.kind=flip or resized-crop"
    with pytest.raises(RouteError, match=message):
        make("float16", AUGMENTATIONS["crop"], size=48).teacher([1])


@pytest.mark.parametrize("augmentation", ["flip", "resized-crop"])
def test_a_cached_anchor_of_another_size_sees_its_own_pixels(make: Make, augmentation: str) -> None:
    outputs = np.array(make("float32", AUGMENTATIONS[augmentation]).outputs(1))
    shutil.rmtree(make("off").route.folder / "cache")
    np.testing.assert_array_equal(make("float32", AUGMENTATIONS[augmentation], size=48).outputs(1), outputs)


@pytest.mark.parametrize("cache_dtype", ["float16", "off"])
def test_a_live_anchor_of_another_size_is_refused(make: Make, cache_dtype: str) -> None:
    with pytest.raises(RouteError, match="takes 32 px and the student 48 px; a live teacher sees the student's images"):
        make(cache_dtype, size=48, with_features=cache_dtype != "off").teacher([1])


def test_a_damaged_cache_is_made_anew_with_a_note(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    expected = np.array(make("float16").outputs(0))
    (name,) = caches(make("float16"))
    file = make("float16").route.folder / "cache" / name
    file.write_bytes(file.read_bytes()[:-2] + b"\xff\xff")
    np.testing.assert_array_equal(make("float16").outputs(0), expected)
    assert f"{name} is damaged (its checksum differs); it is made anew" in capsys.readouterr().err


def test_a_slot_is_read_once_for_its_checksum(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make("float16").outputs(0)
    looks: list[Path] = []
    monkeypatch.setattr(teachers, "is_intact", lambda file: not looks.append(file))
    anchors = make("float16")
    anchors.outputs(0)
    anchors.outputs(0)
    assert len(looks) == 1


def test_a_changed_point_is_refused(make: Make) -> None:
    anchors = make("float16")
    shutil.copy(anchors.route.point_file(0), anchors.route.point_file(1))
    with pytest.raises(RouteError, match="not the file that was recorded"):
        anchors.outputs(1)


@pytest.mark.parametrize("cache_dtype", ["float16", "float32", "off"])
def test_rotated_points_share_the_cache_of_the_others(make: Make, cache_dtype: str) -> None:
    rotation = np.eye(4, dtype=np.float32)[[2, 0, 3, 1]] * np.array([1, -1, 1, 1], np.float32)
    plain, aligned = make(cache_dtype), make(cache_dtype, rotations={1: rotation})
    batch = batches_of(plain)[0]
    expected = plain.teacher([1]).forward(batch).outputs @ torch.from_numpy(rotation)
    files = caches(plain)
    torch.testing.assert_close(aligned.teacher([1]).forward(batch).outputs, expected, rtol=1e-5, atol=1e-5)
    end = plain.teacher([2]).forward(batch).outputs
    torch.testing.assert_close(aligned.teacher([2]).forward(batch).outputs, end)
    mean = aligned.teacher([1, 2]).forward(batch).outputs
    torch.testing.assert_close(mean, (expected + end) / 2, rtol=1e-5, atol=1e-5)
    assert caches(aligned).items() >= files.items()
    assert aligned.teacher([1]).dimension == 4 and aligned.teacher([1]).example_output().outputs.shape == (2, 4)


def test_an_onnx_teacher_runs_where_the_recipe_says(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                    ) -> None:
    anchors = make("off")
    anchors.route = import_route([write_mean_color(tmp_path / "m.onnx")], tmp_path / "route")
    anchors.machine = copy.copy(MACHINE)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    for device in ("auto", "cpu"):
        anchors.machine.recipe = MachineRecipe(device=device)
        assert anchors.teacher([0]).dimension == 3
    anchors.machine.recipe = MachineRecipe(device="cuda")
    with pytest.raises(SetupError, match="does not run on cuda, it has no CUDAExecutionProvider"):
        anchors.teacher([0])
