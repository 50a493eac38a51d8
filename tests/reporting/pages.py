"""The page of a run, written and parsed."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path

from facekd.reporting import run_report
from facekd.reporting.run_data import load_run_data


def write_report(run: Path) -> Path:
    """Write the page of a run folder."""
    return run_report.write_report(load_run_data(run))


class Page(HTMLParser):
    """Collects tags, attributes and the text of cells; complains about tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def pictures(self) -> list[str]:
        return [base64.b64decode(link.partition(",")[2]).decode() for link in self.links if "svg" in link]


def page(run: Path) -> Page:
    """Write and parse the page of a run folder."""
    return Page(write_report(run).read_text(encoding="utf-8"))
