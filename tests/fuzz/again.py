"""``python -m tests.fuzz.again out.json.violations 3 [FOLDER]``: read the input of line 3 again, and show how it ends.

With ``--keep PARSER`` in place of a number, inputs of that parser become regression cases in ``tests/fuzz/cases``: a
few of each kind of exception and module.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.fuzz.inputs import CASES, InputFolder, parse_input
from tests.fuzz.registry import PARSERS
from tests.fuzz.worker import make_seeds

MAX_CHARACTERS = 10_000
"""Longest regression case."""
CASES_OF_A_KIND = 4
_LINE_NUMBER = re.compile(r":\d+$|\d[\d,]* ")


def read_again(finding: dict[str, Any], folder: Path) -> None:
    """Read the input of a finding; the exception passes."""
    parser = PARSERS[finding["parser"]]
    inputs = InputFolder(folder, parser, make_seeds(parser))
    with inputs.damaged(parse_input(finding)) as place:
        print(place)
        parser.read(place)


def keep(findings: list[dict[str, Any]], name: str) -> int:
    """Add inputs of a parser to its regression cases, and return how many are new."""
    file = CASES / f"{name}.json"
    cases: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    count = len(cases)
    for finding in findings:
        case = {"was": finding["violation"], "seed": finding["seed"], "files": finding["files"]}
        alike = [other for other in cases if _kind(other) == _kind(case)]
        is_new = case["was"] not in [other["was"] for other in alike] and len(alike) < CASES_OF_A_KIND
        if finding["parser"] == name and finding["number"] != -1 and is_new and len(json.dumps(case)) < MAX_CHARACTERS:
            cases.append(case)
    if len(cases) > count:
        lines = ",\n".join(json.dumps(case) for case in sorted(cases, key=lambda case: str(case["was"])))
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return len(cases) - count


def _kind(case: dict[str, Any]) -> str:
    """Return what a violation was, without its line number and counts."""
    return _LINE_NUMBER.sub("", str(case["was"]))


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    if sys.argv[2] == "--keep":
        print(keep([json.loads(line) for line in lines], sys.argv[3]), "new cases")
    else:
        read_again(json.loads(lines[int(sys.argv[2]) - 1]), Path(sys.argv[3] if sys.argv[3:] else tempfile.mkdtemp()))
        print("accepted")
