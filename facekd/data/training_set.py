"""What a training is given: the images of a recipe, those withheld, and how they are varied."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facekd.config import DataRecipe, ViewsRecipe
from facekd.data.containers.class_set import first_classes, open_classes
from facekd.data.image_set import ImageSet, withhold
from facekd.data.loading.augmentation import Augmentation, Centre, Crop, Flip, ResizedCrop
from facekd.data.opening import open_faces
from facekd.errors import DataError


@dataclass(frozen=True)
class TrainingSet:
    """A recipe's data.

    Attributes:
        images: to train on.
        withheld: of the same set, to measure the student on while it is trained; None where nothing is withheld.
        augmentation: of ``images``.
        view: how withheld images are seen.
    """

    images: ImageSet
    withheld: ImageSet | None
    augmentation: Augmentation
    view: Augmentation


def open_training(path: Path | str, recipe: DataRecipe, closed: bool) -> TrainingSet:
    """Open a training set.

    Args:
        path: a face set, or, where ``closed``, a class set with its training part.
        recipe: which part of it.
        closed: whether it is a set of classes.

    Raises:
        DataError: the set cannot be used, or is too small for a share to be withheld.
    """
    images: ImageSet = open_classes(path, "train") if closed else open_faces(path)
    if recipe.classes:
        images = first_classes(images, recipe.classes)
    augmentation, view = _augmentation(recipe.views, closed), Centre() if closed else Augmentation()
    if not recipe.withhold:
        return TrainingSet(images, None, augmentation, view)
    left, withheld = withhold(images, recipe.withhold)
    if not len(withheld):
        raise DataError(
            f"data.withhold={recipe.withhold:g} of the {len(images)} images of {path} is not one image; set it higher, "
            "or to 0"
        )
    return TrainingSet(left, withheld, augmentation, view)


def _augmentation(recipe: ViewsRecipe, closed: bool) -> Augmentation:
    match recipe.kind:
        case "plain":
            return Augmentation()
        case "resized-crop":
            return ResizedCrop(recipe.seed)
        case "crop":
            return Crop(recipe.seed, recipe.padding)
        case "flip":
            return Flip(recipe.seed)
    return Crop(recipe.seed, recipe.padding) if closed else Flip(recipe.seed)
