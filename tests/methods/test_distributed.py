"""Two processes that train a method together have the same student, for every method."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from tests.methods.cases import METHODS

RANK_BUFFERS = {"running_mean", "running_var"}
"""Buffers that depend on the images of a rank, until a checkpoint stores their means."""
SINGLE_PROCESS = ("crd", "ekd", "adadistill", "everything")
"""Losses that store earlier images and need a single process; the combination of all losses contains one."""

Findings = Mapping[str, Mapping[str, list[str]]]
"""By method: names of ``weights`` and ``buffers`` that differ between the ranks, and of those not ``finite``."""


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory, torchrun: Callable[..., object]) -> Findings:
    out = tmp_path_factory.mktemp("ranks") / "findings.json"
    torchrun(2, "tests.methods.worker", out)
    findings: Findings = json.loads(out.read_text())
    return findings


MULTI_PROCESS = [name for name in METHODS if not any(word in name for word in SINGLE_PROCESS)]


@pytest.mark.parametrize("name", MULTI_PROCESS)
def test_the_ranks_keep_the_same_finite_weights(findings: Findings, name: str) -> None:
    assert (findings[name]["weights"], findings[name]["infinite"]) == ([], [])


@pytest.mark.parametrize("name", MULTI_PROCESS)
def test_only_statistics_of_what_a_rank_sees_differ(findings: Findings, name: str) -> None:
    assert {buffer for buffer in findings[name]["buffers"] if buffer.rpartition(".")[2] not in RANK_BUFFERS} == set()


@pytest.mark.parametrize("name", [name for name in METHODS if name not in MULTI_PROCESS])
def test_what_remembers_images_is_refused(findings: Findings, name: str) -> None:
    assert "train in one process" in findings[name]["refused"][0]
