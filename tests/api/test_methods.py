from __future__ import annotations

from collections.abc import Callable

import pytest

from facekd.api.methods import methods, show_method
from facekd.errors import ModelError
from facekd.losses import kind_of, names


def test_all_losses_are_among_the_methods() -> None:
    assert set(names()) < {each.name for each in methods()}


@pytest.mark.parametrize("name", names())
def test_show_has_equation_options_and_recipe_line(name: str) -> None:
    text = show_method(name)
    assert text.splitlines()[0] == name
    kind = kind_of(name)
    for fact in (kind.paper, kind.equation, kind.origin, f"method={name}"):
        assert fact in text
    defaults = kind.__init__.__kwdefaults__ or {}
    assert all(f"{option}={value}" in text for option, value in defaults.items())


def test_the_facts_of_kd_are_these() -> None:
    facts = [line.split(maxsplit=1) for line in show_method("kd").splitlines()[1:9]]
    assert {key: value for key, value in facts if key != "paper"} == {
        "family": "responses", "needs": "logits", "teacher": "cached or live",
        "equation": "T^2 mean_i KL(softmax(t_i / T) || softmax(s_i / T))",
        "weight": "0.9, benchmark of CRD (Tian et al., ICLR 2020), beside 0.1 for labels; labels beside it: 0.1",
        "options": "temperature=4.0", "recipe": "method=kd",
    }


def test_several_are_shown_one_after_the_other() -> None:
    assert show_method("kd + prokt") == f"{show_method('kd')}\n\n{show_method('prokt')}"


@pytest.mark.parametrize(("name", "message"), [
    ("kdd", "unknown method 'kdd': did you mean 'kd'"), ("kd + rkdd", "unknown method 'rkdd': did you mean 'rkd'"),
    ("refo", "method 'refo' was left out: no equation of ReFO"),
])
def test_what_is_not_there_is_told(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        show_method(name)


def test_the_command_line_lists_and_shows(call: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("methods") == 0
    listed = capsys.readouterr().out
    first = [line.split()[0] for line in listed.splitlines() if line.strip()]
    assert {*names(), "prokt", "dml", "rco"} <= set(first)
    assert "left out: refo (no equation" in listed
    assert call("methods", "show", "dkd") == 0
    shown = capsys.readouterr().out
    assert "beta=8.0" in shown and "method=dkd" in shown


def test_the_command_line_ends_with_an_error_for_an_unknown_name(
    call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("methods", "show", "dkdd") != 0
    assert "did you mean 'dkd'" in "".join(capsys.readouterr())
