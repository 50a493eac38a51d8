"""The data of a training run: training images, held-out images and augmentation, as a recipe specifies them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facekd.config import AugmentationRecipe, DataRecipe
from facekd.data.containers.class_set import first_classes, open_class_set
from facekd.data.image_set import ImageSet, split_validation
from facekd.data.loading.augmentation import Augmentation, CenterCrop, Crop, Flip, NoAugmentation, ResizedCrop
from facekd.data.opening import open_faces
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
    images: ImageSet = open_class_set(path, "train") if closed_set else open_faces(path)
    if recipe.classes:
        images = first_classes(images, recipe.classes)
    augmentation = _augmentation(recipe.augmentation, closed_set)
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


def _augmentation(recipe: AugmentationRecipe, closed_set: bool) -> Augmentation:
    match recipe.kind:
        case "plain":
            return NoAugmentation()
        case "resized-crop":
            return ResizedCrop(recipe.seed)
        case "crop":
            return Crop(recipe.seed, recipe.padding)
        case "flip":
            return Flip(recipe.seed)
    # "auto": the usual augmentation of CIFAR-like class sets, and of aligned faces, which must not be shifted.
    return Crop(recipe.seed, recipe.padding) if closed_set else Flip(recipe.seed)
