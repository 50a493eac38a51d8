from __future__ import annotations

import pytest

from facekd.config.options import resolve_options
from facekd.errors import OptionError


def factory(
    size: int, *, width: float = 1.0, stage: int = -1, layers: tuple[int, int] = (2, 2), norm: bool = False
) -> None:
    """A factory with options."""


def test_what_is_not_given_has_its_default() -> None:
    assert resolve_options(factory, {}, "net") == {"width": 1.0, "stage": -1, "layers": (2, 2), "norm": False}


def test_what_json_makes_of_a_value_is_understood() -> None:
    options = resolve_options(factory, {"width": 2, "layers": [3, 4]}, "net")
    assert (options["width"], options["layers"]) == (2.0, (3, 4)) and type(options["width"]) is float


def test_defaults_given_again_are_accepted() -> None:
    assert resolve_options(factory, resolve_options(factory, {}, "net"), "net") == resolve_options(factory, {}, "net")


@pytest.mark.parametrize(("given", "text"), [
    ({"size": 3}, "net: unknown option 'size'; its options are: layers, norm, stage, width"),
    ({"width": True}, "net: option 'width' must be like 1.0, not True"),
    ({"width": float("inf")}, "'width' must be a finite number from 0 to 1e\\+09, not inf"),
    ({"width": -0.5}, "'width' must be a finite number from 0 to 1e\\+09, not -0.5"),
    ({"stage": -2}, "'stage' must be a finite number from -1 to 1e\\+09, not -2"),
    ({"stage": 1.0}, "'stage' must be like -1, not 1.0"),
    ({"layers": [1, 2, 3]}, r"'layers' must be 2 values like \[2, 2\], not \[1, 2, 3\]"),
    ({"norm": 1}, "'norm' must be like False, not 1"),
])
def test_what_cannot_be_used_is_refused_in_words(given: dict[str, object], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        resolve_options(factory, given, "net")
