from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from facekd.config import AugmentationRecipe
from facekd.data.loading.from_recipe import build_augmentation
from facekd.errors import DataError


@pytest.mark.parametrize(("values", "closed_set", "key"), [
    ({}, False, "flip"), ({}, True, "crop4-seed0"), ({"kind": "plain"}, False, "plain"),
    ({"kind": "camera", "seed": 3}, False, "camera-seed3"), ({"kind": "resized-crop"}, True, "resized-crop-seed0"),
    ({"kind": "crop", "padding": 2}, False, "crop2-seed0"), ({"borders": "fill"}, False, "flip-fill"),
    ({"kind": "camera", "borders": "jitter"}, False, "camera-seed0-jitter0"),
])
def test_the_kind_is_that_of_the_recipe(values: dict[str, Any], closed_set: bool, key: str) -> None:
    assert build_augmentation(AugmentationRecipe(**values), closed_set).key == key


def test_borders_of_classes_are_refused() -> None:
    with pytest.raises(DataError, match=r"borders=fill is for aligned faces.*leave it out"):
        build_augmentation(AugmentationRecipe(borders="fill"), closed_set=True)


def test_versions_without_a_camera_are_refused() -> None:
    with pytest.raises(ValidationError, match="versions has no effect with kind=flip; set kind=camera"):
        AugmentationRecipe(kind="flip", versions=2)
    assert AugmentationRecipe(kind="camera", versions=0).versions == 0
