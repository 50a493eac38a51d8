from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.cli.conftest import RecordedCall

RunCli = Callable[..., int]
Record = Callable[..., list[RecordedCall]]


def test_features_are_converted_by_a_map(
    run_cli: RunCli, record_calls: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = record_calls("facekd.api.convert.convert", 1200)
    assert run_cli("convert", "g.npy", "o.npy", "--map", "m.safetensors") == 0
    assert calls == [(("g.npy", "o.npy", "m.safetensors"), {})]
    assert capsys.readouterr().out == "1,200 rows converted\n"


def test_a_map_is_fitted_before_it_is_used(
    run_cli: RunCli, record_calls: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    fits = record_calls("facekd.api.convert.fit_map", SimpleNamespace(describe=lambda: "the figures"))
    uses = record_calls("facekd.api.convert.convert", 3)
    words = ("g.npy o.npy --map m.safetensors --method ridge --no-flip --device cpu --json j --new-input size=96 "
             "--old-input pixels=raw --fit old new crops")
    assert run_cli("convert", *words.split()) == 0
    assert fits == [(("old", "new", "crops", "m.safetensors"), {
        "method": "ridge", "flip": False, "device": "cpu", "old_input": {"pixels": "raw"}, "new_input": {"size": 96},
        "json": "j"})]
    assert uses == [(("g.npy", "o.npy", "m.safetensors"), {})]
    assert capsys.readouterr().out == "the figures\n3 rows converted\n"


@pytest.mark.parametrize(("words", "message"), [
    ("", "give features and the .npy to write, or --fit OLD NEW IMAGES"),
    ("g.npy", "g.npy is one path; give the features and the .npy to write"),
    ("g.npy o.npy --no-flip", "--no-flip has no effect: it needs --fit"),
    ("g.npy o.npy --device cpu --json j", "--json and --device have no effect"),
    ("g.npy o.npy --method ridge", "--method has no effect"),
])
def test_what_has_no_effect_or_lacks_a_part_is_refused(
    run_cli: RunCli, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    assert run_cli("convert", *words.split(), "--map", "m.safetensors") == 2
    assert message in capsys.readouterr().err
