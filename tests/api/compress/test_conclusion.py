from __future__ import annotations

from pathlib import Path

import pytest

from facekd.api.compress.choice import Budget
from facekd.api.compress.conclusion import Conclusion, choose_file, describe
from facekd.models.complexity import count_macs
from facekd.models.weights import load_model
from tests.api.compress.conftest import MACS
from tests.api.compress.test_choice import model

FILES = [model("fp32", bytes=400, cosine=0.98), model("fp16", bytes=200, cosine=0.9799),
         model("int8", bytes=100, cosine=0.97)]


def test_the_student_meets_the_budget_and_every_file_is_measured(compression: Conclusion, teacher: Path) -> None:
    out = compression.report.parent
    whole, student = load_model(teacher / "model.safetensors"), load_model(out / "student" / "model.safetensors")
    assert count_macs(student, 32) <= MACS < count_macs(whole, 32)
    assert compression.model.macs <= MACS and compression.package == out / "package"
    names = [file.name for file in compression.models]
    assert names == [f"{network} {precision}" for network in ("teacher", "student")
                     for precision in ("fp32", "fp16", "int8")]
    assert compression.meets_budget and compression.answer.startswith(f"Ship {compression.model.file}: ")


@pytest.mark.parametrize(("limit", "precision"), [(500, "fp16"), (150, "int8"), (50, "int8")])
def test_the_nearest_file_within_the_budget_is_shipped_and_the_smaller_of_equals(limit: int, precision: str) -> None:
    assert choose_file(FILES, Budget(bytes=limit)).precision == precision


def test_the_answer_says_what_it_costs_and_loses() -> None:
    text = describe(model(accuracy=0.98), Budget(bytes=1_000_000))
    assert text == ("Ship teacher.onnx: 1.20 MB, 200.0 M multiply-adds, 8.0 ms here, which misses the budget; mean "
                    "cosine to the teacher 0.990 on held-out crops; accuracy 98.00%.")
