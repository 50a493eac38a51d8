import json
from pathlib import Path

import pytest

from facekd.api import demo as module
from facekd.api.demo import demo


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    small = {"PEOPLE": 8, "VIEWS": 10, "STRANGERS": 8, "STRANGER_VIEWS": 4, "DISTRACTORS": 10, "FOLDS": 2,
             "PAIRS_PER_FOLD": 20, "SCHEDULE": "schedule={epochs: 4, batch: 16, learning_rate: 0.05}"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small.items():
            patch.setattr(module, name, value)
        demo(out)
    return out


def test_every_run_is_measured_and_has_a_page(worked: Path) -> None:
    for run in ("teacher", "labels", "mimic", "rco"):
        kinds = {json.loads(file.read_text())["kind"] for file in (worked / run / "results").glob("*.json")}
        assert kinds == {"verify", "megaface"}
        assert "data:image/svg+xml" in (worked / run / "report.html").read_text()


def test_the_student_follows_four_anchors_to_the_route_s_end(worked: Path) -> None:
    anchors = json.loads((worked / "rco" / "run.json").read_text())["anchors"]
    assert [anchor["step"] for anchor in anchors] == [5, 10, 15, 20]
    stages = [json.loads(line)["stage"] for line in (worked / "rco" / "log.jsonl").read_text().splitlines()]
    assert sorted(set(stages)) == [0, 1, 2, 3]


def test_the_package_tells_the_accuracy_of_every_file(worked: Path) -> None:
    files = json.loads((worked / "rco" / "package" / "metadata.json").read_text())["files"]
    assert set(files) == {"onnx fp32", "onnx fp16", "onnx int8"}
    for file in files.values():
        assert (worked / "rco" / "package" / file["files"][0]).is_file()
        assert 0 <= file["proof"]["verification"]["file"]["accuracy"] <= 1


def test_the_summary_holds_all_runs(worked: Path) -> None:
    (summary,) = worked.glob("summary-*.json")
    groups = json.loads(summary.read_text())["groups"]
    assert [group["name"] for group in groups] == ["teacher", "labels", "mimic", "rco"]
