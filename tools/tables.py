"""Generate RESULTS.md and the result tables and pictures of README.md and docs/ from the committed result files.

The mark ``<!-- table: FILE -->`` begins a table, and ``<!-- end -->`` ends it. FILE is a summary of ``facekd report``
(.json), a result set of results/runs (.csv), any other .csv, or the output of a benchmark (.txt). ``methods`` in place
of a file is the list of ``facekd methods``. Nobody types figures.

    python tools/tables.py           write the pages
    python tools/tables.py --check   exit with 1 if a page differs from what its files give
"""

import csv
import re
import sys
from pathlib import Path

from facekd.io import files
from facekd.io.documents import read_json
from facekd.methods.catalogue import EXCLUDED_METHODS, list_entries
from facekd.reporting.results.result_set import pivot_picture, result_section, results_page
from facekd.reporting.tables.table import Table

ROOT = Path(__file__).resolve().parent.parent
MARK = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
PICTURES = {"docs/pictures/parity-budgets.svg": "results/runs/parity_budgets-cpu2.csv"}
"""The pictures of result sets."""
LABELS = {"ours": "ours?", "from memory": "from memory"}
"""The labels of methods, and the pattern in the text of a method that gives the label."""


def methods_table() -> str:
    """Return all methods as Markdown, with the labels of their texts, and the methods that are left out."""
    lines = ["| method | family | needs | teacher | default weight and its source | labels | marks | paper |"]
    lines.append("|" + " --- |" * 8)
    for entry in list_entries():
        weight, _, label_weight = entry.weight.partition("; weight of labels: ")
        text = f"{entry.name} {weight} {entry.paper} {entry.description}".lower()
        labels = ", ".join(label for label, pattern in LABELS.items() if re.search(rf"\b{pattern}\b", text))
        cells = [f"`{entry.name}`", entry.family, entry.needs, entry.teacher, weight, label_weight, labels, entry.paper]
        lines.append("| " + " | ".join(cells) + " |")
    excluded = "; ".join(f"`{name}` ({reason})" for name, reason in EXCLUDED_METHODS.items())
    return "\n".join([*lines, "", f"Left out: {excluded}.", ""])


def csv_table(file: Path) -> str:
    """Return a CSV file as a Markdown table."""
    with file.open(encoding="utf-8", newline="") as lines:
        header, *rows = csv.reader(lines)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows]) + "\n"


def table(name: str) -> str:
    """Return the table of a mark: of a file relative to the repository, or of ``methods``."""
    if name == "methods":
        return methods_table()
    file = ROOT / name
    match file.suffix:
        case ".csv" if file.parent == ROOT / "results" / "runs":
            return result_section(file)
        case ".csv":
            return csv_table(file)
        case ".txt":
            return f"```\n{file.read_text(encoding='utf-8').strip()}\n```\n"
    return Table(read_json(file)).to_markdown()


def render(page: str) -> str:
    """Return the text of a page with all of its tables generated again."""
    return MARK.sub(lambda match: f"{match[1]}{table(match[2])}{match[3]}", page)


def main() -> int:
    """Write or check every page and picture, and return the exit status."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    wanted = {page: render(page.read_text(encoding="utf-8")) for page in pages}
    wanted[ROOT / "RESULTS.md"] = results_page(ROOT / "results")
    if "--check" not in sys.argv:  # another version of matplotlib draws the same picture with other bytes
        wanted |= {ROOT / picture: pivot_picture(ROOT / rows) for picture, rows in PICTURES.items()}
    stale = [page for page in wanted if not page.exists() or page.read_text(encoding="utf-8") != wanted[page]]
    for page in stale:
        if "--check" in sys.argv:
            sys.stderr.write(f"{page.relative_to(ROOT)} differs from what its result files give; run 'make results'\n")
        else:
            files.write_text(page, wanted[page])
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
