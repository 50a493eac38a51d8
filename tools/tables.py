"""Write RESULTS.md, and the result tables of README.md and docs/, anew from the committed result files.

A table stands between ``<!-- table: FILE -->`` and ``<!-- end -->``; FILE is a summary of ``facekd report`` (.json), a
set of results/runs (.csv), any other .csv, or what a benchmark printed (.txt). The word ``methods`` stands for all that
``facekd methods`` lists. Nobody types figures.

    python tools/tables.py           write them
    python tools/tables.py --check   exit with 1 where a page is not what its files give
"""

import csv
import re
import sys
from pathlib import Path

from facekd.methods.catalogue import LEFT_OUT, catalogue
from facekd.reporting.results.result_set import results_page, section
from facekd.reporting.tables.table import Table
from facekd.utils import files

ROOT = Path(__file__).resolve().parent.parent
MARK = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
MARKS = {"ours": "ours?", "from memory": "from memory"}
"""What is looked for in the text of a method."""


def methods_table() -> str:
    """Every method in a line, marked where its text calls something in it ours or from memory; and who is left out."""
    lines = ["| method | family | needs | teacher | usual weight, and where it is from | labels | marks | paper |"]
    lines.append("|" + " --- |" * 8)
    for one in catalogue():
        weight, _, labels = one.weight.partition("; labels beside it: ")
        said = f"{one.name} {weight} {one.paper} {one.text}".lower()
        marks = ", ".join(mark for mark, word in MARKS.items() if re.search(rf"\b{word}\b", said))
        cells = [f"`{one.name}`", one.family, one.needs, one.teacher, weight, labels, marks, one.paper]
        lines.append("| " + " | ".join(cells) + " |")
    left = "; ".join(f"`{name}` ({why})" for name, why in LEFT_OUT.items())
    return "\n".join([*lines, "", f"Left out: {left}.", ""])


def plain_table(file: Path) -> str:
    """A CSV as it is."""
    with file.open(encoding="utf-8", newline="") as lines:
        head, *rows = csv.reader(lines)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]) + "\n"


def table(name: str) -> str:
    """The table that belongs to a mark."""
    if name == "methods":
        return methods_table()
    file = ROOT / name
    match file.suffix:
        case ".csv" if file.parent == ROOT / "results" / "runs":
            return section(file)
        case ".csv":
            return plain_table(file)
        case ".txt":
            return f"```\n{file.read_text(encoding='utf-8').strip()}\n```\n"
    return Table(files.read_json(file)).to_markdown()


def rendered(page: str) -> str:
    """The page with all of its tables made anew."""
    return MARK.sub(lambda m: f"{m[1]}{table(m[2])}{m[3]}", page)


def main() -> int:
    """Write or check every page; gives the exit status."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    wanted = {page: rendered(page.read_text(encoding="utf-8")) for page in pages}
    wanted[ROOT / "RESULTS.md"] = results_page(ROOT / "results")
    stale = [page for page in wanted if not page.exists() or page.read_text(encoding="utf-8") != wanted[page]]
    for page in stale:
        if "--check" in sys.argv:
            sys.stderr.write(f"{page.relative_to(ROOT)} is not what its result files give; run 'make results'\n")
        else:
            files.write_text(page, wanted[page])
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
