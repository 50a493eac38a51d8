"""The environment that results are recorded with."""

from __future__ import annotations

import json
import os
import platform

import pytest

from facekd.utils.environment import environment, git_revision, hardware


def test_the_environment_is_json_and_names_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/facekd", "train", "my faces", "out"])
    facts = environment()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["versions"]["python"] == platform.python_version()
    assert facts["command_line"] == "facekd train 'my faces' out"


def test_outside_git_the_revision_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    assert git_revision() is None


def test_the_label_counts_what_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert hardware()["label"] == f"cpu{hardware()['cores']}"
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda number: "NVIDIA H200")
    assert hardware()["label"] == "h200x2"
