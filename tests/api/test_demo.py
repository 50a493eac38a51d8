"""The workflow of the demo on a few faces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facekd.api.demo import demo


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder of a demo with few faces and epochs."""
    out = tmp_path_factory.mktemp("demo")
    settings = {"IDENTITIES": 8, "IMAGES_PER_IDENTITY": 10, "HELD_OUT_IDENTITIES": 8, "IMAGES_PER_HELD_OUT": 4,
                "DISTRACTORS": 10, "FOLDS": 2, "PAIRS_PER_FOLD": 20,
                "TRAINING": "training={epochs: 4, batch_size: 16, learning_rate: 0.05}"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setattr(f"facekd.api.demo.{name}", value)
        demo(out)
    return out


def test_every_run_is_measured_and_has_a_page(demo_folder: Path) -> None:
    for run in ("teacher", "labels", "mimic", "rco"):
        kinds = {json.loads(file.read_text())["kind"] for file in (demo_folder / run / "results").glob("*.json")}
        assert kinds == {"verify", "megaface"}
        assert "data:image/svg+xml" in (demo_folder / run / "report.html").read_text()


def test_the_student_follows_four_anchors_to_the_route_s_end(demo_folder: Path) -> None:
    anchors = json.loads((demo_folder / "rco" / "run.json").read_text())["anchors"]
    assert [anchor["step"] for anchor in anchors] == [5, 10, 15, 20]
    stages = [json.loads(line)["stage"] for line in (demo_folder / "rco" / "log.jsonl").read_text().splitlines()]
    assert sorted(set(stages)) == [0, 1, 2, 3]


def test_the_package_contains_the_accuracy_of_every_file(demo_folder: Path) -> None:
    files = json.loads((demo_folder / "rco" / "package" / "metadata.json").read_text())["files"]
    assert set(files) == {"onnx fp32", "onnx fp16", "onnx int8"}
    for file in files.values():
        assert (demo_folder / "rco" / "package" / file["files"][0]).is_file()
        assert 0 <= file["validation"]["verification"]["file"]["accuracy"] <= 1


def test_the_summary_holds_all_runs(demo_folder: Path) -> None:
    (summary,) = demo_folder.glob("summary-*.json")
    groups = json.loads(summary.read_text())["groups"]
    assert [group["name"] for group in groups] == ["teacher", "labels", "mimic", "rco"]
