"""``python -m tests.fuzz --inputs 1000000 --seed 7 --json out.json``: the fuzzing room; see docs/robustness.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

# Before any library is imported: workers are many, and each input is small.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}

from tests.fuzz.parser import Parser
from tests.fuzz.registry import PARSERS
from tests.fuzz.runner import Finding, Row, run, to_dict
from tests.fuzz.table import render

SAVED = 5
"""Inputs that are saved of each kind of violation."""
PROGRESS_SECONDS = 20.0


class Journal:
    """What is known so far, on disk, so that an interrupted run continues.

    Args:
        file: the result file; ``FILE.partial`` holds the finished parts, ``FILE.violations`` the violations.
        identity: what the parts depend on.
        total: inputs of all parsers.
    """

    def __init__(self, file: Path, identity: dict[str, Any], total: int) -> None:
        self.file = file
        self.identity = identity
        self.total = total
        self.rows: dict[str, Row] = {}
        self.kinds: Counter[tuple[str, str]] = Counter()
        self._partial = file.with_name(f"{file.name}.partial")
        self._violations = file.with_name(f"{file.name}.violations")
        self._done: set[tuple[str, int]] = set()
        self._start = time.monotonic()
        self._shown = 0.0
        self._resume()

    def _resume(self) -> None:
        lines = self._partial.read_text(encoding="utf-8").splitlines() if self._partial.exists() else []
        if not lines or json.loads(lines[0]) != self.identity:
            self._partial.write_text(json.dumps(self.identity) + "\n", encoding="utf-8")
            self._violations.unlink(missing_ok=True)
            return
        for line in lines[1:]:
            part = json.loads(line)
            self._add(part["parser"], range(part["start"], part["stop"]), Row(**part["row"]))
        print(f"continuing: {self.inputs:,} inputs are done", file=sys.stderr)

    @property
    def inputs(self) -> int:
        """Inputs that were read so far."""
        return sum(row.inputs for row in self.rows.values())

    def done(self, name: str, numbers: range) -> bool:
        """Return whether a part is finished."""
        return (name, numbers.start) in self._done

    def found(self, finding: Finding) -> None:
        """Note a violation; the first of each kind are shown, and saved with their input."""
        kind = finding.parser, finding.violation
        self.kinds[kind] += 1
        if self.kinds[kind] <= SAVED:
            with self._violations.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(finding.to_json()) + "\n")
        if self.kinds[kind] == 1:
            text = finding.message if finding.number == -1 else finding.message[:160]
            print(f"{finding.parser} input {finding.number}: {finding.violation}: {text}", file=sys.stderr)

    def finished(self, name: str, numbers: range, row: Row) -> None:
        """Note a finished part."""
        self._add(name, numbers, row)
        with self._partial.open("a", encoding="utf-8") as handle:
            part = {"parser": name, "start": numbers.start, "stop": numbers.stop, "row": to_dict(row)}
            handle.write(json.dumps(part) + "\n")
        if time.monotonic() - self._shown > PROGRESS_SECONDS:
            self._shown = time.monotonic()
            minutes = (self._shown - self._start) / 60
            print(f"{self.inputs:,} of {self.total:,} inputs, {minutes:.1f} min, "
                  f"{sum(row.violations for row in self.rows.values()):,} violations", file=sys.stderr)

    def _add(self, name: str, numbers: range, row: Row) -> None:
        total = self.rows.setdefault(name, Row())
        total.inputs += row.inputs
        total.accepted += row.accepted
        total.refused += row.refused
        total.violations += row.violations
        total.slowest_seconds = max(total.slowest_seconds, row.slowest_seconds)
        total.peak_bytes = max(total.peak_bytes, row.peak_bytes)
        self._done.add((name, numbers.start))

    def write(self, parsers: list[Parser]) -> dict[str, Any]:
        """Write and return the result."""
        counts = {parser.name: to_dict(self.rows.get(parser.name, Row())) for parser in parsers}
        result = {**self.identity, "minutes": round((time.monotonic() - self._start) / 60, 1), "parsers": counts}
        self.file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        self._partial.unlink()
        return result


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 1 if the contract was broken."""
    command = argparse.ArgumentParser("python -m tests.fuzz",
                                      description="Read damaged files by every parser of facekd.")
    command.add_argument("--inputs", type=int, default=100_000,
                         help="damaged inputs in all, shared equally by the parsers")
    command.add_argument("--seed", type=int, default=0, help="the seed; the same seed gives the same inputs")
    command.add_argument("--json", type=Path, required=True, help="the result; violations are saved beside it")
    command.add_argument("--processes", type=int, help="worker processes; by default one for each core")
    command.add_argument("--parsers", nargs="+", default=sorted(PARSERS), choices=sorted(PARSERS), metavar="NAME",
                         help="only these parsers")
    options = command.parse_args(arguments)
    parsers = [PARSERS[name] for name in options.parsers]
    each = -(-options.inputs // len(parsers))
    identity = {"seed": options.seed, "inputs_each": each, "names": options.parsers}
    journal = Journal(options.json, identity, each * len(parsers))
    run(parsers, each, options.seed, journal.found, journal.finished, journal.done, options.processes)
    result = journal.write(parsers)
    print(render(result))
    for (name, violation), count in sorted(journal.kinds.items()):
        print(f"{count} x {name}: {violation}")
    complete = all(journal.rows[parser.name].inputs == each for parser in parsers)
    return 0 if complete and not journal.kinds else 1


if __name__ == "__main__":
    sys.exit(main())
