from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.config import DataRecipe
from facekd.data import cv2
from facekd.data.image_set import ImageSet
from facekd.data.training_set import open_training
from facekd.errors import DataError


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class set: 4 classes, 10 images each to train on and 1 to test."""
    root = tmp_path_factory.mktemp("things")
    for split, count in (("train", 10), ("val", 1)):
        for name in ("ant", "bee", "cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for image in range(count):
                cv2.imwrite(str(root / split / name / f"{image}.png"), np.full((8, 8, 3), image, np.uint8))
    return root


def recipe(**values: object) -> DataRecipe:
    return DataRecipe.model_validate(values)


def places(images: ImageSet) -> list[str]:
    return [images.where(i) for i in range(len(images))]


def test_faces_are_all_there_and_mirrored(small_faces: Path) -> None:
    data = open_training(small_faces, DataRecipe(), closed=False)
    assert (len(data.images), data.images.classes, data.withheld, data.augmentation.key) == (48, 8, None, "flip")


def test_of_a_class_set_the_training_part_is_there_and_cropped(things: Path) -> None:
    data = open_training(things, DataRecipe(), closed=True)
    assert (len(data.images), data.images.names, data.withheld) == (40, ["ant", "bee", "cat", "dog"], None)
    assert data.augmentation.key == "crop4-seed0"


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize(("kind", "key"), [
    ("plain", "plain"), ("flip", "flip"), ("crop", "crop2-seed7"), ("resized-crop", "resized-crop-seed7"),
])
def test_views_are_those_of_the_recipe(small_faces: Path, things: Path, closed: bool, kind: str, key: str) -> None:
    views = {"kind": kind, "padding": 2, "seed": 7}
    data = open_training(things if closed else small_faces, recipe(views=views), closed)
    assert (data.augmentation.key, data.augmentation.seed) == (key, 0 if kind == "plain" else 7)


def test_the_first_classes_are_kept(things: Path) -> None:
    data = open_training(things, recipe(classes=3), closed=True)
    assert (data.images.names, sorted(set(data.images.labels.tolist())), len(data.images)) == (
        ["ant", "bee", "cat"], [0, 1, 2], 30
    )


def test_a_slice_of_the_kept_classes_is_withheld(things: Path) -> None:
    data = open_training(things, recipe(classes=2, withhold=0.25), closed=True)
    assert data.withheld is not None
    whole = places(open_training(things, recipe(classes=2), closed=True).images)
    assert (len(data.withheld), data.withheld.classes, data.images.classes) == (5, 2, 2)
    assert sorted(places(data.images) + places(data.withheld)) == sorted(whole)


def test_views_do_not_change_what_is_withheld(things: Path) -> None:
    kept = [open_training(things, recipe(withhold=0.1, views={"seed": seed}), closed=True) for seed in (0, 1)]
    assert places(kept[0].images) == places(kept[1].images)


def test_a_share_that_is_not_one_image_is_refused(things: Path) -> None:
    with pytest.raises(DataError, match=r"data\.withhold=0\.01 of the 40 images of .* is not one image; set it higher"):
        open_training(things, recipe(withhold=0.01), closed=True)
