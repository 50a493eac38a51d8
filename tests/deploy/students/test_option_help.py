from __future__ import annotations

import pytest

from facekd.config.options import default_options
from facekd.deploy.students.option_help import describe_model, list_options
from facekd.errors import ModelError
from facekd.models.registry import get_factory, list_models


def test_all_models_are_listed_with_their_options() -> None:
    options = list_options()
    assert list(options) == list_models()
    assert options["mobilenetv2"] == "expansion, width, head, last_conv, norm"


@pytest.mark.parametrize("name", ["mobilefacenet", "mobilenetv2", "iresnet10", "resnet20", "shufflenetv1"])
def test_every_option_is_shown_with_its_default(name: str) -> None:
    lines = describe_model(name).splitlines()
    assert lines[0] == name
    for option, default in default_options(get_factory(name)).items():
        value = str(list(default)) if isinstance(default, tuple) else str(default).lower()
        assert any(line.startswith(f"  {option} = {value}") for line in lines)


def test_the_meaning_of_an_option_is_that_of_the_class() -> None:
    text = describe_model("mobilefacenet")
    assert "activation = prelu   ``prelu`` as in the paper, or ``relu``, which phones compute faster" in text
    assert "width = 1.0   multiplier of all channels, those inside the bottlenecks included." in text


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ModelError, match="did you mean 'mobilefacenet'"):
        describe_model("mobilfacenet")
