from __future__ import annotations

from pathlib import Path

import pytest

from facekd.api.compress.compress import compress
from facekd.api.compress.conclusion import Conclusion
from facekd.errors import DataError, SetupError
from tests.api.compress.conftest import MACS


def test_a_second_call_repeats_no_step(compression: Conclusion, teacher: Path, crops: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("packages.export", "packages.plan", "training.distill", "training.prune_teacher", "faces.write_faces",
                 "measurement.agree"):
        monkeypatch.setattr(f"facekd.api.compress.{name}", None)
    out = compression.report.parent
    assert compress(teacher, crops, out, macs=str(MACS), epochs=2, device="cpu") == compression


def test_another_request_in_the_same_folder_is_refused(compression: Conclusion, teacher: Path, crops: Path) -> None:
    with pytest.raises(SetupError, match="holds a compression with epochs=2, not 3"):
        compress(teacher, crops, compression.report.parent, macs=str(MACS), epochs=3, device="cpu")


@pytest.mark.parametrize(("arguments", "message"), [
    ({"epochs": 1, "minutes": 1}, "both bound the training"), ({"epochs": 0}, "numbers above 0"),
    ({"minutes": -1}, "numbers above 0"), ({"images": "x"}, "--images is the folder of the paths of --pairs"),
])
def test_arguments_that_do_not_fit_are_refused(tmp_path: Path, arguments: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        compress("teacher.onnx", "photos", tmp_path / "out", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
