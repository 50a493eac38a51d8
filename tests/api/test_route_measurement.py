"""Rotations of the anchors of face routes; `facekd.api.plan` tests the profile and the diagnosis."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from facekd.api.distill import distill
from facekd.api.plan import plan, show_plan
from facekd.api.route_measurement import measure_rotations, measure_route
from facekd.errors import RouteError
from facekd.models.weights import load_model
from facekd.route.plan import Plan
from facekd.route.route import Route
from facekd.run import Run

STUDENT = ("student.name=iresnet10", "student.options={width: 0.25}", "student.size=32", "head.scale=16",
           "training.batch_size=8", "training.epochs=1", "machine.device=cpu", "machine.threads=1")


@pytest.fixture
def teacher(teacher_run: Path, tmp_path: Path) -> Path:
    """A copy of the teacher, so that no other test finds its caches."""
    shutil.copytree(teacher_run, tmp_path / "teacher")
    return tmp_path / "teacher"


def test_a_rotation_brings_a_point_nearer_to_the_end(teacher: Path) -> None:
    route = Route.open(teacher)
    rotations = measure_rotations(route, [0, 2, 4, 2])
    assert sorted(rotations) == [0, 2]
    for rotation in rotations.values():
        assert rotation.dtype == np.float32
        assert_allclose(rotation @ rotation.T, np.eye(len(rotation)), atol=1e-5)


def test_faces_have_the_distance_after_the_best_rotation_if_they_are_enough(teacher: Path) -> None:
    dimension = load_model(Run(teacher).model).spec.outputs
    profiles, _ = measure_route(Route.open(teacher))
    assert all(profile.congruence_to_end is not None for profile in profiles)
    known = [profile.aligned_to_end for profile in profiles if profile.aligned_to_end is not None]
    assert dimension and (not known or known[-1] == pytest.approx(0, abs=1e-6))


def test_an_aligned_plan_is_followed_and_leads_to_another_student(
    small_faces: Path, teacher: Path, tmp_path: Path
) -> None:
    for name, aligned in (("plain", False), ("aligned", True)):
        chosen = plan(teacher, tmp_path / f"{name}.json", strategy="equal", anchors=2, aligned=aligned)
        assert bool(chosen.rotations) == aligned
    runs = [distill(small_faces, tmp_path / f"{name}.json", tmp_path / name, *STUDENT, "student.embedding=16")
            for name in ("plain", "aligned")]
    assert [Run(run).info()["strategy"] for run in runs] == ["equal", "equal, aligned"]
    assert runs[0].joinpath("model.safetensors").read_bytes() != runs[1].joinpath("model.safetensors").read_bytes()
    followed, _ = Plan.read(runs[1] / "plan.json")
    assert followed.rotations.keys() == {2}
    assert show_plan(tmp_path / "aligned.json")[0]


def test_an_aligned_plan_of_the_end_alone_has_no_rotations(teacher: Path, tmp_path: Path) -> None:
    assert not plan(teacher, tmp_path / "plan.json", strategy="final", anchors=1, aligned=True).rotations


def test_what_cannot_be_aligned_is_refused(teacher: Path, classifier_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RouteError, match="only embeddings can be aligned"):
        plan(classifier_run, tmp_path / "plan.json", strategy="equal", anchors=2, aligned=True)
    with pytest.raises(RouteError, match="a greedy plan cannot be aligned"):
        plan(teacher, tmp_path / "plan.json", strategy="greedy", aligned=True)
    (teacher / "recipe.yaml").unlink()
    with pytest.raises(RouteError, match="no recipe names those of the route"):
        plan(teacher, tmp_path / "plan.json", strategy="equal", anchors=2, aligned=True)
    assert not (tmp_path / "plan.json").exists()
