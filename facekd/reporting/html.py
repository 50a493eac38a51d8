"""Elements of a web page that needs no network and no script; every function escapes its text arguments."""

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


def page(title: str, lead: str, *content: str) -> str:
    """Return a complete document.

    Args:
        title: the title and first heading.
        lead: the line below the title.
        content: HTML of the sections; empty ones are left out.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        + "\n".join([paragraph(lead, "lead"), *filter(None, content)])
        + "\n</body>\n</html>\n"
    )


def section(title: str, *content: str) -> str:
    """Return a section with a heading and HTML content; empty without content."""
    elements = [element for element in content if element]
    return "\n".join([f"<section>\n<h2>{escape(title)}</h2>", *elements, "</section>"]) if elements else ""


def heading(text: str) -> str:
    """Return a heading inside a section."""
    return f"<h3>{escape(text)}</h3>"


def paragraph(text: str, css_class: str = "") -> str:
    """Return a paragraph; ``css_class`` is ``note``, ``lead`` or empty."""
    return f'<p class="{escape(css_class)}">{escape(text)}</p>' if css_class else f"<p>{escape(text)}</p>"


def preformatted(text: str) -> str:
    """Return text in a fixed-width font, with its line breaks."""
    return f"<pre>{escape(text)}</pre>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], css_class: str = "results") -> str:
    """Return a table with a header row."""
    header_cells = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    content = f"<thead><tr>{header_cells}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return f'<div class="scroll"><table class="{escape(css_class)}">\n{content}\n</table></div>'


def key_value_table(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a table of two columns, names and values; empty without pairs."""
    rows = [f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in pairs]
    return '<table class="facts"><tbody>\n' + "\n".join(rows) + "\n</tbody></table>" if rows else ""


def svg(document: str, alt: str) -> str:
    """Return an SVG document as an image, so that its element ids cannot clash with those of another picture."""
    return _image("image/svg+xml", document.encode("utf-8"), alt)


def jpeg(data: bytes, alt: str) -> str:
    """Return a JPEG file as an image."""
    return _image("image/jpeg", data, alt)


def side_by_side(*content: str) -> str:
    """Return HTML elements in one row where the window is wide enough; empty ones are left out."""
    cells = [f"<div>{element}</div>" for element in content if element]
    return f'<div class="row">{"".join(cells)}</div>' if cells else ""


def _image(media_type: str, data: bytes, alt: str) -> str:
    encoded = base64.b64encode(data).decode("ascii")
    return f'<img alt="{escape(alt)}" src="data:{media_type};base64,{encoded}">'
