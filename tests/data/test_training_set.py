from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.config import DataRecipe
from facekd.data import cv2
from facekd.data.image_set import ImageSet
from facekd.data.training_set import open_training_set
from facekd.errors import DataError


@pytest.fixture(scope="module")
def class_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class set with 4 classes, and 10 training images and 1 test image per class."""
    root = tmp_path_factory.mktemp("classes")
    for split, count in (("train", 10), ("val", 1)):
        for name in ("ant", "bee", "cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for image in range(count):
                cv2.imwrite(str(root / split / name / f"{image}.png"), np.full((8, 8, 3), image, np.uint8))
    return root


def recipe(**values: object) -> DataRecipe:
    return DataRecipe.model_validate(values)


def locations(images: ImageSet) -> list[str]:
    return [images.location(i) for i in range(len(images))]


def test_faces_are_all_there_and_mirrored(small_faces: Path) -> None:
    data = open_training_set(small_faces, DataRecipe(), closed_set=False)
    assert (len(data.images), data.images.num_classes, data.held_out, data.augmentation.key) == (48, 8, None, "flip")


def test_of_a_class_set_the_training_part_is_there_and_cropped(class_set: Path) -> None:
    data = open_training_set(class_set, DataRecipe(), closed_set=True)
    assert (len(data.images), data.images.class_names, data.held_out) == (40, ["ant", "bee", "cat", "dog"], None)
    assert data.augmentation.key == "crop4-seed0"


@pytest.mark.parametrize("closed_set", [False, True])
@pytest.mark.parametrize(("kind", "key"), [
    ("plain", "plain"), ("flip", "flip"), ("crop", "crop2-seed7"), ("resized-crop", "resized-crop-seed7"),
])
def test_the_augmentation_is_that_of_the_recipe(
    small_faces: Path, class_set: Path, closed_set: bool, kind: str, key: str
) -> None:
    augmentation = {"kind": kind, "padding": 2, "seed": 7}
    data = open_training_set(class_set if closed_set else small_faces, recipe(augmentation=augmentation), closed_set)
    assert (data.augmentation.key, data.augmentation.seed) == (key, 0 if kind == "plain" else 7)


def test_the_first_classes_are_kept(class_set: Path) -> None:
    data = open_training_set(class_set, recipe(classes=3), closed_set=True)
    assert (data.images.class_names, sorted(set(data.images.labels.tolist())), len(data.images)) == (
        ["ant", "bee", "cat"], [0, 1, 2], 30
    )


def test_a_slice_of_the_kept_classes_is_held_out(class_set: Path) -> None:
    data = open_training_set(class_set, recipe(classes=2, val_fraction=0.25), closed_set=True)
    assert data.held_out is not None
    all_images = locations(open_training_set(class_set, recipe(classes=2), closed_set=True).images)
    assert (len(data.held_out), data.held_out.num_classes, data.images.num_classes) == (5, 2, 2)
    assert sorted(locations(data.images) + locations(data.held_out)) == sorted(all_images)


def test_augmentation_does_not_change_what_is_held_out(class_set: Path) -> None:
    recipes = [recipe(val_fraction=0.1, augmentation={"seed": seed}) for seed in (0, 1)]
    first, second = (open_training_set(class_set, seeded, closed_set=True) for seeded in recipes)
    assert locations(first.images) == locations(second.images)


def test_a_fraction_that_is_not_one_image_is_refused(class_set: Path) -> None:
    message = r"data\.val_fraction=0\.01 of the 40 images of .* is not one image; set it higher"
    with pytest.raises(DataError, match=message):
        open_training_set(class_set, recipe(val_fraction=0.01), closed_set=True)


def test_faces_without_labels_can_be_held_out(small_faces: Path) -> None:
    data = open_training_set(small_faces, recipe(labels=False, val_fraction=0.25), closed_set=False)
    assert data.held_out is not None
    assert [(len(images), images.is_labeled) for images in (data.images, data.held_out)] == [(36, False), (12, False)]


def test_paths_of_a_list_start_from_the_root_of_the_recipe(small_faces: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n".join(path.relative_to(small_faces).as_posix()
                                                 for path in sorted(small_faces.rglob("*.jpg"))[:5]))
    data = open_training_set(tmp_path / "list.txt", recipe(root=str(small_faces)), closed_set=False)
    assert (len(data.images), data.images.is_labeled) == (5, False)


def test_balanced_batches_need_labels(small_faces: Path) -> None:
    with pytest.raises(DataError, match=r"has no labels .* and data\.samples_per_class=2 needs them"):
        open_training_set(small_faces, recipe(labels=False, samples_per_class=2), closed_set=False)


@pytest.mark.parametrize("values", [{"labels": False}, {"root": "x"}])
def test_keys_of_faces_are_refused_for_a_class_set(class_set: Path, values: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"data\.labels and data\.root belong to face sets"):
        open_training_set(class_set, recipe(**values), closed_set=True)
