from __future__ import annotations

from facekd.models.architectures.resnet_pruned import EXAMPLE_PLAN, Layout
from facekd.reporting.plots.search import layer_channels, search_picture

TEACHER = Layout.parse("16/16:16,16,16/32:32,32,32/64:64,64,64")


def test_every_layer_is_named_with_its_channels() -> None:
    channels = layer_channels(Layout.parse(EXAMPLE_PLAN))
    assert len(channels) == 1 + 3 * 4
    assert (channels[0], channels[2], channels[4], channels[-1]) == (
        ("stem", 16), ("stage 1, block 2", 0), ("stage 1, output", 16), ("stage 3, output", 64))


def test_the_picture_says_what_is_left_of_what() -> None:
    picture = search_picture(TEACHER, Layout.parse(EXAMPLE_PLAN), "a student")
    assert picture.count("dropped") == 2 and "20 of 32" in picture and "a student" in picture


def test_a_picture_is_the_same_every_time() -> None:
    student = Layout.parse(EXAMPLE_PLAN)
    assert search_picture(TEACHER, student, "a") == search_picture(TEACHER, student, "a")


def test_the_title_is_no_formula() -> None:
    layout = Layout.parse("16/16:16/32:32/64:64")
    assert "$\\frac{$" in search_picture(layout, layout, "$\\frac{$")
