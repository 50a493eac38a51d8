from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.cli.conftest import RecordedCall

RESULT = SimpleNamespace(describe=lambda: "the result")
RunCli = Callable[..., int]


def test_megaface_passes_on_its_options(
    run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = record_calls("facekd.api.evaluate.megaface.megaface", {"megaface": RESULT})
    arguments = ("--probes p --distractors d --template-lists t --suffix _m.bin --sizes 10 60 --set 2 --noise-lists n "
                 "--noise-mode strict --int8 --features f --out o --pixels raw")
    assert run_cli("eval", "megaface", *arguments.split()) == 0
    assert calls == [((None, "p", "d"), {
        "template_lists": "t", "suffix": "_m.bin", "sizes": [10, 60], "set_index": 2, "noise_lists": "n",
        "noise_mode": "strict", "int8": True, "features": "f", "out": "o", "json": None, "across": False, "flip": True,
        "device": "auto", "name": None,
        "pixels": "raw"})]
    assert capsys.readouterr().out == "the result\n"


def test_megaface_compares_two_results_and_measures_nothing_else(
    run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = record_calls("facekd.api.evaluate.compare_models.compare_models", [RESULT, RESULT])
    assert run_cli("eval", "megaface", "--compare", "a.json", "b.json") == 0
    assert (calls, capsys.readouterr().out) == ([(("a.json", "b.json"), {})], "the result\nthe result\n")


@pytest.mark.parametrize("option", [
    "--probes p", "--json j", "--int8", "--no-flip", "--device cpu", "--set 1", "--sizes 10", "--across", "--name n",
    "--noise-mode all", "--pixels raw",
])
def test_compare_takes_no_other_option(
    run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]], capsys: pytest.CaptureFixture[str], option: str
) -> None:
    calls = record_calls("facekd.api.evaluate.compare_models.compare_models", [])
    assert run_cli("eval", "megaface", "--compare", "a.json", "b.json", *option.split()) == 2
    assert "--compare takes two result files and no other option" in capsys.readouterr().err
    assert calls == []
