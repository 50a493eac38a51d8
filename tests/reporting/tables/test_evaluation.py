from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from facekd.reporting.tables.evaluation import Row, Suite

VERIFY: dict[str, Any] = {
    "accuracy": 0.963, "accuracy_interval": [0.9571, 0.9685], "auc": 0.99125, "eer": 0.041, "pairs": 6000,
    "tar": {"1e-2": 0.9, "1e-4": None}, "notes": ["TAR at FAR 1e-4 is not given"],
}
MEGAFACE: dict[str, Any] = {
    "rank1": 0.5, "rank1_interval": [0.25, 0.75], "cmc": [0.1 * rank for rank in range(5, 15)], "distractors": 100_000,
    "pairs": 12, "identities": 3, "tar": {"1e-6": 0.125}, "notes": ["raw"],
}
OPEN_SET: dict[str, Any] = {
    "rank": {"1": 0.8, "5": 0.9}, "rank_interval": {"1": [0.7, 0.9], "5": [0.8, 1.0]}, "tpir": {"1e-2": 0.4},
    "notes": ["mean of two galleries"],
}
PAIRS: dict[str, Any] = {"tar": {"1e-4": 0.6}, "tar_interval": {"1e-4": [0.5, 0.7]}, "notes": ["of templates"]}


def row(protocol: str, result: dict[str, Any], title: str = "LFW") -> Row:
    return Row(title, title.lower(), protocol, ["/sets/lfw.bin"], "measured", result=result)


def ijb(verification: dict[str, Any] | None, identification: dict[str, Any]) -> dict[str, Any]:
    return {"verification": verification, "identification": identification, "templates": 1234, "notes": ["of images"]}


def printed(suite: Suite, width: int = 160) -> str:
    console = Console(width=width, record=True, markup=True)
    with console.capture() as captured:
        console.print(suite.to_rich())
    return captured.get()


def test_pairs_are_summarized_by_accuracy() -> None:
    one = row("verify", VERIFY)
    assert one.figure == ("accuracy", 0.963, [0.9571, 0.9685])
    assert one.further == ["TAR 90.00 @1e-2, – @1e-4", "AUC 0.9912, EER 4.10, 6,000 pairs"]


def test_megaface_is_summarized_by_rank_1_and_size() -> None:
    one = row("megaface", MEGAFACE)
    assert one.figure == ("rank-1 among 100,000", 0.5, [0.25, 0.75])
    assert one.further == ["TAR 12.50 @1e-6", "rank-10 140.00, 12 pairs of 3 people"]


def test_templates_are_summarized_by_the_tar_of_their_pairs() -> None:
    one = row("ijb", ijb(PAIRS, {"G1": {"notes": []}, "mean": OPEN_SET}))
    assert one.figure == ("TAR at FAR 1e-4", 0.6, [0.5, 0.7])
    assert one.further == [
        "1:1 TAR 60.00 @1e-4", "1:N rank 80.00 @1, 90.00 @5", "1:N TPIR 40.00 @1e-2", "1,234 templates",
    ]
    assert list(one.result_notes) == ["of images", "of templates", "mean of two galleries"]


def test_templates_without_pairs_are_summarized_by_rank_1() -> None:
    assert row("ijb", ijb(None, {"mean": OPEN_SET})).figure == ("rank-1 (1:N)", 0.8, [0.7, 0.9])


def test_templates_without_a_gallery_have_no_identification() -> None:
    assert row("ijb", ijb(PAIRS, {})).further == ["1:1 TAR 60.00 @1e-4", "1,234 templates"]


def test_a_row_is_written_with_its_figure_and_all_of_its_result() -> None:
    content = row("verify", VERIFY).to_dict()
    assert content["figure"] == {"name": "accuracy", "value": 0.963, "interval": [0.9571, 0.9685]}
    assert content["result"] == VERIFY
    assert Row("IJB-B", "ijbb", "ijb", [], "missing").to_dict()["figure"] is None


def test_the_table_shows_what_was_measured_what_is_missing_and_what_failed() -> None:
    rows = [
        row("verify", VERIFY), Row("CALFW", "calfw", "verify", [], "missing", "no [calfw].bin"),
        Row("CPLFW", "cplfw", "verify", ["/elsewhere/cplfw.bin"], "failed", "cut short"),
    ]
    suite = Suite(Path("/sets"), rows, ["passed over: x.bin"])
    lines = printed(suite).splitlines()
    line = {title: next(line for line in lines if f"│ {title} " in line) for title in ("LFW", "CALFW", "CPLFW")}
    assert "│ lfw.bin " in line["LFW"] and "accuracy" in line["LFW"]
    assert "missing" in line["CALFW"] and "no [calfw].bin" in line["CALFW"]
    assert "/elsewhere/cplfw.bin" in line["CPLFW"] and "cut short" in line["CPLFW"]
    assert any("96.30 [95.71, 96.85]" in line for line in lines)
    assert any("1 measured, 1 missing, 1 failed; sets from /sets." in line for line in lines)
    assert suite.failed == 1


def test_what_is_to_be_known_of_several_sets_is_said_once() -> None:
    suite = Suite(Path("sets"), [row("verify", VERIFY), row("verify", VERIFY, "CALFW")])
    assert suite.footer[2:] == ["LFW, CALFW: TAR at FAR 1e-4 is not given"]
