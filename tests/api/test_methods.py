from __future__ import annotations

from collections.abc import Callable

import pytest

from facekd.api.methods import list_methods, show_method
from facekd.errors import ModelError
from facekd.losses import get_loss_class, list_losses


def test_all_losses_are_among_the_methods() -> None:
    assert set(list_losses()) < {entry.name for entry in list_methods()}


@pytest.mark.parametrize("name", list_losses())
def test_show_has_equation_options_and_recipe_line(name: str) -> None:
    text = show_method(name)
    assert text.splitlines()[0] == name
    loss_class = get_loss_class(name)
    for field in (loss_class.paper, loss_class.equation, loss_class.weight_source, f"method={name}"):
        assert field in text
    defaults = loss_class.__init__.__kwdefaults__ or {}
    assert all(f"{option}={value}" in text for option, value in defaults.items())


def test_the_fields_of_kd_are_these() -> None:
    fields = [line.split(maxsplit=1) for line in show_method("kd").splitlines()[1:9]]
    assert {key: value for key, value in fields if key != "paper"} == {
        "family": "responses", "needs": "logits", "teacher": "cached or live",
        "equation": "T^2 mean_i KL(softmax(t_i / T) || softmax(s_i / T))",
        "weight": "0.9, benchmark of CRD (Tian et al., ICLR 2020), with weight 0.1 for labels; weight of labels: 0.1",
        "options": "temperature=4.0", "recipe": "method=kd",
    }


def test_several_are_shown_one_after_the_other() -> None:
    assert show_method("kd + prokt") == f"{show_method('kd')}\n\n{show_method('prokt')}"


@pytest.mark.parametrize(("name", "message"), [
    ("kdd", "unknown method 'kdd': did you mean 'kd'"), ("kd + rkdd", "unknown method 'rkdd': did you mean 'rkd'"),
    ("refo", "method 'refo' was left out: no equation of ReFO"),
])
def test_an_unknown_method_is_refused_with_the_nearest_name(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        show_method(name)


def test_the_command_line_lists_and_shows(run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("methods") == 0
    table = capsys.readouterr().out
    names = [line.split()[0] for line in table.splitlines() if line.strip()]
    assert {*list_losses(), "prokt", "dml", "rco"} <= set(names)
    assert "left out: refo (no equation" in table
    assert run_cli("methods", "show", "dkd") == 0
    text = capsys.readouterr().out
    assert "beta=8.0" in text and "method=dkd" in text


def test_the_command_line_ends_with_an_error_for_an_unknown_name(
    run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("methods", "show", "dkdd") != 0
    assert "did you mean 'dkd'" in "".join(capsys.readouterr())
