"""The positive control of Route Constrained Optimization: it fails if the route stops mattering.

A short form of recipes/parity.sh: one problem, one teacher, one student per plan.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from facekd.api.distill import distill
from facekd.api.evaluate.classify import classify
from facekd.api.plan import plan
from facekd.api.train import train
from facekd.data.synthetic.parity import write_parity

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "recipes" / "parity"


@pytest.fixture(scope="module")
def parity(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The data, and the run of a teacher that solves the problem."""
    folder = tmp_path_factory.mktemp("parity")
    write_parity(folder / "data", problem=0, train=25_600, test=2_000)
    teacher = train(folder / "data", folder / "teacher", "training.epochs=11", recipe=RECIPES / "train.yaml")
    return folder / "data", teacher


def student_top1(parity: tuple[Path, Path], folder: Path, strategy: str, anchors: int) -> float:
    data, teacher = parity
    plan(teacher, folder / "plan.json", strategy=strategy, anchors=anchors)
    run = distill(data, folder / "plan.json", folder / "student", recipe=RECIPES / "distill.yaml")
    return classify(run, data, classes=2).top1


def test_the_route_takes_a_student_where_its_end_alone_and_restarts_do_not(
    parity: tuple[Path, Path], tmp_path: Path
) -> None:
    data, teacher = parity
    assert classify(teacher, data, classes=2).top1 > 0.99
    assert student_top1(parity, tmp_path / "rco", "progress", 4) > 0.95
    assert student_top1(parity, tmp_path / "kd", "final", 1) < 0.8
    assert student_top1(parity, tmp_path / "restarts", "final", 4) < 0.8
