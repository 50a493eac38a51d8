"""The augmentation that a recipe describes."""

from __future__ import annotations

from facekd.config import AugmentationRecipe
from facekd.data.loading.augmentation import Augmentation, Flip, NoAugmentation
from facekd.data.loading.borders import PaintedBorders
from facekd.data.loading.camera import Camera
from facekd.data.loading.crops import Crop, ResizedCrop
from facekd.errors import DataError


def build_augmentation(recipe: AugmentationRecipe, closed_set: bool) -> Augmentation:
    """Build the augmentation of training images.

    Args:
        recipe: its kind and options.
        closed_set: whether the images are those of a class set, not aligned faces.

    Raises:
        DataError: an option is for aligned faces, and the set is a class set.
    """
    if closed_set and recipe.borders != "keep":
        raise DataError(f"data.augmentation.borders={recipe.borders} is for aligned faces, and a softmax "
                        "head learns a class set; leave it out")
    augmentation = _inner_augmentation(recipe, closed_set)
    return augmentation if recipe.borders == "keep" else PaintedBorders(augmentation, recipe.borders)


def _inner_augmentation(recipe: AugmentationRecipe, closed_set: bool) -> Augmentation:
    match recipe.kind:
        case "plain":
            return NoAugmentation()
        case "camera":
            return Camera(recipe.seed, recipe.versions)
        case "resized-crop":
            return ResizedCrop(recipe.seed)
        case "crop":
            return Crop(recipe.seed, recipe.padding)
        case "flip":
            return Flip(recipe.seed)
    # "auto": the usual augmentation of CIFAR-like class sets, and of aligned faces, which must not be shifted.
    return Crop(recipe.seed, recipe.padding) if closed_set else Flip(recipe.seed)
