"""Text from outside made safe for the place where it is shown: terminal, message, CSV, Markdown and matplotlib."""

from __future__ import annotations

import re
import reprlib
from pathlib import Path

MESSAGE_LIMIT = 600
"""Characters of one line of an error message; what exceeds it is cut in the middle."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def printable(text: object, *, keep_newlines: bool = False) -> str:
    r"""Return a text with its control characters and the bytes that are not UTF-8 written as escapes.

    A terminal obeys control characters, and line breaks in a file name forge lines of a log. A byte that is not UTF-8
    (a surrogate of ``surrogateescape``) becomes ``\xff``, other characters ``\x1b`` or ``\u202e``.

    Args:
        text: the text, or an object whose ``str`` is taken, for example a path.
        keep_newlines: keep ``"\n"``, for texts of several lines.
    """
    line = str(text)
    if line.isprintable():
        return line
    kept = "\n" if keep_newlines else ""
    return "".join(character if character.isprintable() or character in kept else _escape(character)
                   for character in line)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shorten(text: object, limit: int = 120) -> str:
    """Return a text of at most ``limit`` printable characters in one line, cut in the middle if it is longer."""
    return _cut(printable(_cut(str(text), limit)), limit)  # cut before, too: a text may have millions of characters


def _cut(text: str, limit: int) -> str:
    kept = (limit - 3) // 2
    return text if len(text) <= limit else f"{text[:kept]}...{text[-kept:]}"


def short_repr(value: object, limit: int = 80) -> str:
    """Return the ``repr`` of a value from a file in at most ``limit`` characters, in time that the value cannot set."""
    brief = reprlib.Repr()
    brief.maxlevel = 3
    brief.maxstring = limit
    brief.maxother = limit
    try:
        return shorten(brief.repr(value), limit)
    except (ValueError, RecursionError):  # ValueError: an integer of more digits than Python converts
        return type(value).__name__


def csv_cell(text: str) -> str:
    """Return a CSV cell that a spreadsheet does not run as a formula: an apostrophe stands before ``=``, ``+``, ``@``.

    Numbers stay as they are; `read_csv_cell` returns the text again.
    """
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA_STARTS) and not _is_number(text) else text


def read_csv_cell(cell: str) -> str:
    """Return the text of which `csv_cell` made a cell."""
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA_STARTS) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def markdown(text: object) -> str:
    """Return a text as plain words of one line of Markdown: no HTML, heading, link, table cell or emphasis begins."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", printable(text)).replace("\\<", "&lt;").replace("\\>", "&gt;")


def plot_label(text: object, *, keep_newlines: bool = True) -> str:
    """Return a label that matplotlib draws as it is: ``$`` begins no formula."""
    return printable(text, keep_newlines=keep_newlines).replace("$", r"\$")


def path_text(path: Path | str) -> str:
    """Return a path for a message: printable, and at most 200 characters."""
    return shorten(path, 200)
