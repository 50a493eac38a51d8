from __future__ import annotations

from pathlib import Path

import pytest

from facekd.api.plan import plan


@pytest.fixture
def recipe(teacher_run: Path) -> Path:
    """The recipe of a finished run: 8 people with 6 images, batches of 4, 3 epochs, a rate that drops twice."""
    return teacher_run / "recipe.yaml"


@pytest.fixture
def student_recipe(teacher_run: Path, recipe: Path, tmp_path: Path) -> Path:
    """The recipe of a student of that run, which follows the last point of its route."""
    plan(teacher_run, tmp_path / "plan.json", strategy="final", anchors=1)
    text = recipe.read_text(encoding="utf-8").replace("model:", "student:") + f"plan: {tmp_path / 'plan.json'}\n"
    (tmp_path / "student.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "student.yaml"
