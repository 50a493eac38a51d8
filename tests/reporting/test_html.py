from __future__ import annotations

import base64
import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from facekd.reporting import html

EVIL = "<script>alert('&\"')</script>"


def text_of(fragment: str) -> str:
    """The text of an HTML fragment, which must be well-formed."""
    return "".join(ElementTree.fromstring(f"<root>{fragment}</root>").itertext())


@pytest.mark.parametrize("make", [
    html.heading, html.paragraph, html.preformatted, lambda text: html.paragraph("x", text),
    lambda text: html.section(text, "<p></p>"), lambda text: html.table([text], [[text]]),
    lambda text: html.key_value_table([(text, text)]), lambda text: html.svg("<svg/>", text),
    lambda text: html.page(text, text),
])
def test_text_is_escaped(make: Callable[[str], str]) -> None:
    assert "<script" not in make(EVIL)


def test_escaped_text_reads_as_it_was() -> None:
    assert text_of(html.paragraph(EVIL)) == text_of(html.preformatted(EVIL)) == text_of(html.heading(EVIL)) == EVIL


def test_a_table_has_its_cells_in_order() -> None:
    root = ElementTree.fromstring(html.table(["a", "b"], [["1", "2"], ["3", "4"]]))
    rows = [[cell.text for cell in row] for row in root.iter("tr")]
    assert rows == [["a", "b"], ["1", "2"], ["3", "4"]]


def test_what_has_no_content_is_empty() -> None:
    assert html.section("title") == html.section("title", "", "") == ""
    assert html.key_value_table([]) == html.side_by_side("", "") == ""


def test_empty_elements_are_left_out_of_a_row() -> None:
    assert html.side_by_side("<p>a</p>", "", "<p>b</p>").count("<div>") == 2


def test_pictures_are_embedded_unchanged() -> None:
    for fragment, media_type, data in ((html.jpeg(b"\xff\xd8data", "alt"), "image/jpeg", b"\xff\xd8data"),
                                       (html.svg("<svg>é</svg>", "alt"), "image/svg+xml", "<svg>é</svg>".encode())):
        match = re.fullmatch(rf'<img alt="alt" src="data:{re.escape(media_type)};base64,([^"]*)">', fragment)
        assert match and base64.b64decode(match[1]) == data


def test_a_page_has_its_title_lead_and_sections_in_order() -> None:
    page = html.page("Title", "the lead", html.section("One", html.paragraph("1")), "", html.section("Two", "<p>2</p>"))
    assert page.startswith("<!doctype html>") and "<title>Title</title>" in page
    order = [page.index(part) for part in ("<h1>Title</h1>", "the lead", "<h2>One</h2>", "<h2>Two</h2>")]
    assert order == sorted(order)
