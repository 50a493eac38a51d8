"""Two processes at once on one output: one does the work, the other says who does, and nothing is lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.faults.conftest import Start
from tests.faults.test_stops import Whole, leftovers
from tests.faults.test_stops import whole as whole
from tests.faults.verbs import SLOW, VERBS, Inputs, Verb

HOLD = 4.0
"""Seconds for which the first process keeps its lock before it works, so that the second one meets it."""
TIMES = 10
COUNTS: dict[str, int] = {}


@pytest.fixture(scope="module", autouse=True)
def print_counts(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print at the end how often two processes met on each command."""
    yield
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line("")
        for name, count in COUNTS.items():
            reporter.write_line(f"two processes at once: {name}: {count}")


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    error = process.communicate(timeout=300)[1]
    return process.returncode, error


@pytest.mark.parametrize("verb", [
    pytest.param(verb, id=verb.name, marks=() if verb.name == "plan" else pytest.mark.soak)
    for verb in VERBS if verb.name not in SLOW])
@pytest.mark.parametrize("times", [1, pytest.param(TIMES, marks=pytest.mark.soak)])
def test_one_process_works_and_the_other_says_who_does(
    start: Start, inputs: Inputs, whole: Whole, tmp_path_factory: pytest.TempPathFactory, verb: Verb,
    times: int,
) -> None:
    for _ in range(times):
        out = verb.output(tmp_path_factory.mktemp("two"))
        processes = [start(*verb.arguments(inputs, out), fault=("hold", HOLD)) for _ in range(2)]
        results = [finish(process) for process in processes]
        assert sorted(code for code, _ in results) == [0, 2], results
        worker = processes[[code for code, _ in results].index(0)].pid
        (said,) = [error for code, error in results if code == 2]
        assert f" is being written by process {worker} on host " in said
        assert verb.contents(out) == whole(verb)
        assert leftovers(out.parent) == []
        COUNTS[verb.name] = COUNTS.get(verb.name, 0) + 1
