from __future__ import annotations

import pytest

from facekd.api.compress.conclusion import Conclusion
from facekd.api.compress.measurement import Measurement


def test_the_teacher_s_own_file_agrees_with_it(compression: Conclusion) -> None:
    cosines = {model.name: model.cosine for model in compression.models}
    assert cosines["teacher fp32"] == pytest.approx(1, abs=1e-5)
    assert all(cosine is not None and -1 <= cosine <= 1 for cosine in cosines.values())
    fp32, fp16 = (next(model for model in compression.models if model.name == name)
                  for name in ("student fp32", "student fp16"))
    assert fp32.bytes > fp16.bytes > 0 and fp32.macs == fp16.macs


def test_without_pairs_there_is_no_accuracy(compression: Conclusion) -> None:
    measurement = Measurement(None, compression.report, None, None, compression.report, "cpu")  # type: ignore[arg-type]
    assert measurement.measure_mixed(compression.model) == compression.model
    assert compression.model.accuracy is None and compression.model.mixed_accuracy is None


def test_the_crops_on_which_they_differ_are_drawn(compression: Conclusion) -> None:
    sheets = list((compression.report.parent / "results").glob("*-worst.jpg"))
    assert len(sheets) == 6 and all(sheet.read_bytes().startswith(b"\xff\xd8") for sheet in sheets)
