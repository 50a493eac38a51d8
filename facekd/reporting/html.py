"""Pieces of a web page that needs no network and no script; every function escapes the text it is given."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #1d2329; background: #fff;
  max-width: 68rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .5rem; border-bottom: 1px solid #d8dee4; }
h3 { font-size: 1rem; margin: 1.3rem 0 .3rem; } p { margin: .4rem 0; max-width: 50rem; }
p.lead, p.note { color: #57606a; } p.note { font-size: .87rem; }
div.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #eaeef2;
  white-space: pre-line; overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid #afb8c1; white-space: pre; }
table.results td { white-space: pre; overflow-wrap: normal; } table.facts th { font-weight: 500; white-space: nowrap; }
img { max-width: 100%; height: auto; display: block; } div.row { display: flex; flex-wrap: wrap; gap: 1rem; }
pre { background: #f6f8fa; padding: .8rem 1rem; border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere;
  font-size: .85rem; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } }
"""


def page(title: str, lead: str, *parts: str) -> str:
    """A whole document; ``parts`` are HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        + "\n".join([paragraph(lead, "lead"), *(part for part in parts if part)])
        + "\n</body>\n</html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """A heading and what is under it (HTML); nothing at all where there is nothing under it."""
    inside = [part for part in parts if part]
    return "\n".join([f"<section>\n<h2>{escape(heading)}</h2>", *inside, "</section>"]) if inside else ""


def heading(text: str) -> str:
    """A heading inside a section."""
    return f"<h3>{escape(text)}</h3>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; ``kind`` is ``note``, ``lead`` or nothing."""
    return f'<p class="{escape(kind)}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def verbatim(text: str) -> str:
    """Text as it stands, in a fixed-width face."""
    return f"<pre>{escape(text)}</pre>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "results") -> str:
    """A table with a row of headings."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    inside = f"<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return f'<div class="scroll"><table class="{escape(kind)}">\n{inside}\n</table></div>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A table of two columns: names and values."""
    rows = [f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in pairs]
    return '<table class="facts"><tbody>\n' + "\n".join(rows) + "\n</tbody></table>" if rows else ""


def svg(picture: str, alt: str) -> str:
    """A picture in SVG; embedded as an image, so that names inside it cannot clash with another's."""
    return _image("image/svg+xml", picture.encode("utf-8"), alt)


def jpeg(picture: bytes, alt: str) -> str:
    """A picture in JPEG."""
    return _image("image/jpeg", picture, alt)


def row(*parts: str) -> str:
    """HTML parts side by side where the window is wide enough."""
    inside = [f"<div>{part}</div>" for part in parts if part]
    return f'<div class="row">{"".join(inside)}</div>' if inside else ""


def _image(kind: str, data: bytes, alt: str) -> str:
    return f'<img alt="{escape(alt)}" src="data:{kind};base64,{base64.b64encode(data).decode("ascii")}">'
