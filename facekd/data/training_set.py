"""The data of a training run: training images, held-out images and augmentation, as a recipe specifies them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facekd.config import DataRecipe
from facekd.data.containers.class_set import first_classes, open_class_set
from facekd.data.image_set import ImageSet, split_validation
from facekd.data.loading.augmentation import Augmentation, CenterCrop, NoAugmentation
from facekd.data.loading.from_recipe import build_augmentation
from facekd.data.opening import open_faces
from facekd.data.unlabeled import require_labels
from facekd.errors import DataError


@dataclass(frozen=True)
class TrainingSet:
    """The data of a recipe.

    Attributes:
        images: the training images.
        held_out: the images of the same set that are withheld for validation; None if no images are withheld.
        augmentation: the augmentation of ``images``.
        eval_transform: the deterministic transform of ``held_out``.
    """

    images: ImageSet
    held_out: ImageSet | None
    augmentation: Augmentation
    eval_transform: Augmentation


def open_training_set(path: Path | str, recipe: DataRecipe, closed_set: bool) -> TrainingSet:
    """Open a training set.

    Args:
        path: a face set; or, if ``closed_set``, a class set that has a training split.
        recipe: the part of the set to use, and its augmentation.
        closed_set: whether the set is a class set (closed-set classification) instead of a face set.

    Raises:
        DataError: the set cannot be used, or is too small to hold out the requested fraction.
    """
    images = _open_images(path, recipe, closed_set)
    if recipe.classes:
        images = first_classes(images, recipe.classes)
    augmentation = build_augmentation(recipe.augmentation, closed_set)
    eval_transform = CenterCrop() if closed_set else NoAugmentation()
    if not recipe.val_fraction:
        return TrainingSet(images, None, augmentation, eval_transform)
    train, held_out = split_validation(images, recipe.val_fraction)
    if not len(held_out):
        raise DataError(
            f"data.val_fraction={recipe.val_fraction:g} of the {len(images)} images of {path} is not one image; "
            "set it higher, or to 0"
        )
    return TrainingSet(train, held_out, augmentation, eval_transform)


def _open_images(path: Path | str, recipe: DataRecipe, closed_set: bool) -> ImageSet:
    if closed_set:
        if recipe.labels is not None or recipe.root:
            raise DataError("data.labels and data.root belong to face sets, and a softmax head learns the classes of a "
                            "class set; leave them out")
        return open_class_set(path, "train")
    images = open_faces(path, labels=recipe.labels, root=recipe.root or None)
    if recipe.samples_per_class:
        require_labels(images, f"data.samples_per_class={recipe.samples_per_class}", "leave that key out")
    return images
