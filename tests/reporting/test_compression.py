from __future__ import annotations

from pathlib import Path

from facekd.reporting.compression import (
    HEADER,
    CompressedModel,
    CompressionReport,
    model_cells,
    write_compression_report,
)

TEACHER = CompressedModel(network="teacher", precision="fp32", file="t.onnx", parameters=993_600, macs=220_965_376,
                          bytes=4_000_000, milliseconds=8.5, cosine=1.0, cosine_interval=(1.0, 1.0), cosine_low=1.0,
                          differ=0.0, accuracy=0.995, accuracy_interval=(0.993, 0.997))
STUDENT = CompressedModel(network="student", precision="int8", file="s.onnx", parameters=400_000, macs=50_000_000,
                          bytes=500_000, milliseconds=None)


def write(tmp_path: Path, worst: bytes | None = None) -> str:
    file = tmp_path / "report.html"
    report = CompressionReport("<teacher>.onnx", "Ship s.onnx.", [TEACHER, STUDENT],
                               [("plan", "facekd plan r p", 61.0), ("prune", "facekd prune", 2.25)], ["A note."], 1e6)
    write_compression_report(report, file, worst)
    return file.read_text()


def test_cells_show_what_was_measured_and_nothing_else() -> None:
    cells = dict(zip(HEADER, model_cells(TEACHER), strict=True))
    assert cells["file"] == "teacher fp32" and cells["multiply-adds"] == "221 M" and cells["MB"] == "4.00"
    assert cells["accuracy"] == "99.50 [99.30, 99.70]" and cells["decided differently"] == "0.000%"
    cells = dict(zip(HEADER, model_cells(STUDENT), strict=True))
    assert cells["ms"] == cells["cosine to the teacher"] == cells["accuracy"] == ""


def test_the_page_has_answer_figures_steps_and_pictures(tmp_path: Path) -> None:
    page = write(tmp_path)
    for text in ("Ship s.onnx.", "A note.", "&lt;teacher&gt;.onnx", "facekd plan r p", "1 min 01 s", "2.2 s"):
        assert text in page
    assert page.count("data:image/svg+xml") == 2 and "Where they differ most" not in page


def test_a_sheet_of_faces_comes_with_a_warning(tmp_path: Path) -> None:
    page = write(tmp_path, b"\xff\xd8jpeg")
    assert "Where they differ most" in page and "share this report only where they may be shared" in page
