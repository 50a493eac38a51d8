"""The package speaks the language of the field: words that were replaced do not come back as names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "facekd"

RETIRED = {
    "Answer": "ModelOutput", "Question": "BatchContext", "Size": "DatasetSize", "place": "rank, index or location",
    "told": "run_on_main_and_broadcast", "leads": "is_main_process", "gathered": "gather_objects",
    "part": "shard_range or chunk",
    "Sharers": "ProcessGroupOps", "Tapped": "FeatureExtractor", "aside": "forward_without_side_effects",
    "Together": "OnlineDistillation", "Turn": "optimizer pass", "lessons": "pretraining", "Walk": "AnchorSchedule",
    "Leg": "PlanStage", "Prover": "ExportValidator", "Proof": "ValidationReport", "Material": "RunData",
    "Found": "BlockCounts", "Tally": "PartialCounts", "Impostors": "TopScores", "Guard": "NanGuard",
    "Moment": "CheckpointEvent", "Stepper": "TrainStep", "usual_weight": "default_weight", "origin": "weight_source",
    "partner": "joint_teacher", "pace": "lr_scale", "pull": "student_weight", "slack": "epsilon",
}
"""Names of the first version, and the words in their place."""


def bound_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module gives to a class, function, parameter, attribute or variable, and its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def test_no_retired_word_is_a_name() -> None:
    retired = [
        f"{file.relative_to(PACKAGE)}:{line} {name}: say {RETIRED[name.lstrip('_')]}"
        for file in sorted(PACKAGE.rglob("*.py"))
        for name, line in bound_names(ast.parse(file.read_text(encoding="utf-8")))
        if name.lstrip("_") in RETIRED
    ]
    assert retired == []


@pytest.mark.parametrize("code", [
    "class Walk: pass", "def told(): pass", "def f(place): pass", "class C:\n    part: int", "self._pace = 1",
    "for origin in (): pass", "with open(x) as pull: pass",
])
def test_a_name_is_found_wherever_it_is_given(code: str) -> None:
    assert [name for name, _ in bound_names(ast.parse(code)) if name.lstrip("_") in RETIRED] != []
