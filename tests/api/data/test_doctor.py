from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import facekd
from facekd.errors import DataError
from facekd.preflight.preflight import Preflight


def test_the_doctor_finds_what_two_sets_share(fixtures: Path) -> None:
    diagnosis = facekd.doctor(fixtures / "record")
    (face_set,) = diagnosis.sets
    assert (diagnosis.ok, face_set.images, face_set.identities, face_set.sizes) == (True, 32, 8, {"112x112": 32})
    assert not facekd.doctor(fixtures / "folder", fixtures / "record").ok


def test_a_recipe_makes_it_a_preflight(teacher_run: Path, tmp_path: Path) -> None:
    diagnosis = facekd.doctor(recipe=teacher_run / "recipe.yaml", overrides=[f"out={tmp_path / 'new'}"])
    assert isinstance(diagnosis, Preflight)
    assert [face_set.images for face_set in diagnosis.sets] == [48]


@pytest.mark.parametrize("options", [{"overrides": ["seed=3"]}, {"world_size": 8}, {"model": "m.onnx"}])
def test_options_of_a_recipe_need_one(fixtures: Path, options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="key=value, --world-size and --model need a recipe"):
        facekd.doctor(fixtures / "record", **options)


def test_without_a_set_and_a_recipe_it_says_what_to_give() -> None:
    with pytest.raises(DataError, match="give face sets to examine, or --recipe FILE"):
        facekd.doctor()
