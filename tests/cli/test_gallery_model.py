from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.cli.conftest import RecordedCall

RESULT = SimpleNamespace(describe=lambda: "the result")
RunCli = Callable[..., int]
GALLERY = "--model n --gallery-model o --gallery-input pixels=raw size=96 --map m.safetensors"
OPTIONS = {"gallery_input": {"pixels": "raw", "size": 96}, "map_file": "m.safetensors", "json": None, "flip": True,
           "device": "auto", "name": None}


def test_verify_passes_on_both_models(
    run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = record_calls("facekd.api.across.verify.verify_across", RESULT)
    assert run_cli("eval", "verify", *GALLERY.split(), "--pairs", "p.csv", "--images", "i") == 0
    assert calls == [(("n", "o", "p.csv"), {**OPTIONS, "images": "i"})]
    assert capsys.readouterr().out == "the result\n"


def test_identify_passes_on_both_models(
    run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = record_calls("facekd.api.across.identify.identify_across", RESULT)
    assert run_cli("eval", "identify", *GALLERY.split(), "--probes", "p", "--gallery", "g") == 0
    assert calls == [(("p", "g", "n", "o"), OPTIONS)]
    assert capsys.readouterr().out == "the result\n"


def test_megaface_passes_on_both_models(
    run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = record_calls("facekd.api.across.megaface.megaface_across", {"a": RESULT, "b": RESULT})
    words = f"{GALLERY} --probes p --distractors d --template-lists t --sizes 10 --set 2 --noise-lists n --features f"
    assert run_cli("eval", "megaface", *words.split()) == 0
    assert calls == [(("n", "o", "p", "d"), {
        **OPTIONS, "template_lists": "t", "sizes": [10], "set_index": 2, "noise_lists": "n", "noise_mode": None,
        "features": "f"})]
    assert capsys.readouterr().out == "a\nthe result\nb\nthe result\n"


@pytest.mark.parametrize(("words", "message"), [
    ("verify --model n --pairs p --map m", "--map has no effect: it needs --gallery-model"),
    ("verify --model n --pairs p --gallery-input pixels=raw", "--gallery-input has no effect"),
    ("identify --gallery-model o --probes p --gallery g", "give the new one by --model as well"),
    ("identify --model n --gallery-model o --probes p --gallery g --across", "--across has no effect"),
    ("identify --model n --gallery-model o --probes p --gallery g --identity-from label", "--identity-from has no"),
    ("megaface --model n --gallery-model o --probes p --distractors d --int8", "--int8 has no effect"),
    ("megaface --model n --gallery-model o --probes p --distractors d --out k", "--out has no effect"),
    ("megaface --model n --gallery-model o --probes p", "give --probes and --distractors"),
])
def test_what_has_no_effect_or_lacks_a_part_is_refused(
    run_cli: RunCli, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    assert run_cli("eval", *words.split()) == 2
    assert message in capsys.readouterr().err
