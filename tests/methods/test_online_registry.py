from __future__ import annotations

import pytest

from facekd.methods.online import ONLINE_CLASSES
from facekd.methods.online_registry import ONLINE_METHODS


def test_every_online_method_has_a_class_and_the_other_way_round() -> None:
    assert ONLINE_METHODS.keys() == ONLINE_CLASSES.keys() == {"prokt", "dml"}
    assert all(cls.name == name for name, cls in ONLINE_CLASSES.items())


@pytest.mark.parametrize("name", ONLINE_METHODS)
def test_a_method_is_registered_under_its_name(name: str) -> None:
    assert ONLINE_METHODS[name].name == name


def test_the_defaults_are_those_of_the_papers() -> None:
    prokt, dml = ONLINE_METHODS["prokt"], ONLINE_METHODS["dml"]
    assert (prokt.fresh_teacher, prokt.cosine_weight, prokt.label_weight) == (False, None, None)
    assert (dml.fresh_teacher, dml.cosine_weight, dml.label_weight) == (True, 1.0, 1.0)
