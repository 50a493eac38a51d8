"""Write the result tables of README.md and docs/ anew from the committed result files.

A table stands between ``<!-- table: docs/results/NAME.json -->`` and ``<!-- end -->``; nobody types figures.

    python tools/tables.py           write them
    python tools/tables.py --check   exit with 1 where a table is not what its file gives
"""

import re
import sys
from pathlib import Path

from facekd import files
from facekd.reporting.table import Table

ROOT = Path(__file__).resolve().parent.parent
MARK = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def rendered(page: str) -> str:
    """The page with all of its tables made anew."""
    return MARK.sub(lambda m: f"{m[1]}{Table(files.read_json(ROOT / m[2])).to_markdown()}{m[3]}", page)


def main() -> int:
    """Write or check every page; gives the exit status."""
    stale = [p for p in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
             if rendered(p.read_text(encoding="utf-8")) != p.read_text(encoding="utf-8")]
    for page in stale:
        if "--check" in sys.argv:
            sys.stderr.write(
                f"{page.relative_to(ROOT)} is not what its result files give; run python tools/tables.py\n"
            )
        else:
            files.write_text(page, rendered(page.read_text(encoding="utf-8")))
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
