from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from facekd.cli.main import make_parser
from facekd.evaluation.dataset_quality.grouping import MIN_COSINE
from tests.cli.conftest import RecordedCall

RunCli = Callable[..., int]
RESULT = SimpleNamespace(describe=lambda: "done", ok=True)


def test_text_is_printed_as_it_is(
    run_cli: RunCli, tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "[old] :smile:"
    assert run_cli("pack", fixtures / "folder", out) == 0
    assert capsys.readouterr().out == f"{out}: 32 images of 8 identities, 112 px\n"


def test_the_doctors_exit_status_says_whether_a_set_can_be_used(
    run_cli: RunCli, fixtures: Path, tmp_path: Path
) -> None:
    assert run_cli("doctor", fixtures / "record", "--json", tmp_path / "d.json") == 0
    assert (tmp_path / "d.json").is_file()
    assert run_cli("doctor", fixtures / "record", fixtures / "folder") == 1


def test_doctor_passes_on_its_options(run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]]) -> None:
    calls = record_calls("facekd.api.data.doctor.doctor", RESULT)
    arguments = "a b seed=3 --recipe r.yaml --world-size 8 --model m.onnx --labels --root c"
    assert run_cli("doctor", *arguments.split()) == 0
    assert calls == [(("a", "b"), {"recipe": "r.yaml", "overrides": ["seed=3"], "world_size": 8, "model": "m.onnx",
                                  "labels": True, "root": "c"})]


def test_align_passes_on_its_options(run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]]) -> None:
    calls = record_calls("facekd.api.data.align.align", RESULT)
    assert run_cli("align", "photos", "crops", "--detector", "d.onnx", "--size", 64, "--all-faces") == 0
    assert calls == [(("photos", "crops"), {"detector": "d.onnx", "size": 64, "all_faces": True, "device": "auto"})]


def test_clean_passes_on_its_options(
    run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = record_calls("facekd.api.data.clean.clean", RESULT)
    assert run_cli("clean", "faces", "m", "out", "--angle", 70, "--min-images", 3, "--device", "cpu", "--labels") == 0
    assert calls == [(("faces", "m", "out"), {"angle": 70, "min_images": 3, "device": "cpu", "labels": True})]
    assert capsys.readouterr().out == "done\n"


def test_doctor_asks_for_its_output_before_the_work(
    run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]], tmp_path: Path
) -> None:
    calls = record_calls("facekd.api.data.doctor.doctor", RESULT)
    (tmp_path / "file").touch()
    assert run_cli("doctor", "a", "--json", tmp_path / "file" / "d.json") == 2
    assert run_cli("doctor", "a", "--json", tmp_path) == 2
    assert calls == []


def test_group_passes_on_its_options(run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]]) -> None:
    calls = record_calls("facekd.api.data.group.group", RESULT)
    arguments = "crops out --model m --threshold 0.5 --min-images 3 --no-labels --root r --device cpu --pixels raw"
    assert run_cli("group", *arguments.split()) == 0
    assert calls == [(("crops", "out"), {"model": "m", "features": None, "threshold": 0.5, "min_images": 3,
                                         "labels": False, "root": "r", "device": "cpu", "pixels": "raw"})]


def test_the_default_threshold_of_group_is_that_of_the_function() -> None:
    args = make_parser().parse_args(["group", "crops", "out"])
    assert (args.threshold, args.labels) == (MIN_COSINE, None)


def test_a_packed_set_without_labels_is_announced(
    run_cli: RunCli, tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("pack", fixtures / "folder", tmp_path / "out", "--no-labels") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}: 32 images, unlabeled, 112 px\n"
