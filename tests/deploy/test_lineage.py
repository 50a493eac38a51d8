from __future__ import annotations

import pytest

from facekd.deploy.lineage import describe_lineage


def origin(license_text: str) -> dict[str, str]:
    return {"name": "w600k_r50.onnx", "sha256": "12ab", "license": license_text}


def test_a_model_of_its_own_has_no_lines() -> None:
    assert describe_lineage({"license_code": "Apache-2.0"}) == []


def test_a_free_teacher_is_named() -> None:
    assert describe_lineage({"distilled_from": origin("MIT")}) == [
        "Distilled from w600k\\_r50.onnx (SHA-256 12ab), license: MIT.", ""]


@pytest.mark.parametrize(("license_text", "fact"), [
    ("unknown", "is unknown"), ("CC-BY-NC-4.0", "names a restricted use"),
    ("for non-commercial research purposes only", "names a restricted use"),
])
def test_other_licenses_are_a_question(license_text: str, fact: str) -> None:
    lines = describe_lineage({"distilled_from": origin(license_text)})
    assert lines[2] == (f"**Ask before shipping:** that license {fact}; whether a student of it may be shipped is a "
                        "question to its owner.")


def test_text_from_outside_is_escaped() -> None:
    (first, *_) = describe_lineage({"converted_from": {**origin("MIT"), "name": "a*b\n# c"}})
    assert "\n" not in first
    assert "a\\*b" in first
