from __future__ import annotations

import shlex
from pathlib import Path

from facekd.api.compress.conclusion import Conclusion
from facekd.api.compress.steps import read_steps
from facekd.cli.main import make_parser
from facekd.route.plan import Plan


def test_the_steps_are_commands_that_anybody_can_run(compression: Conclusion) -> None:
    steps = read_steps(compression.report.parent).steps
    assert [step.name for step in steps] == ["divide the crops", "plan", "export the teacher", "prune", "distill",
                                             "export the student"]
    for step in steps[1:]:
        command, *arguments = shlex.split(step.command)
        assert command == "facekd" and make_parser().parse_args(arguments).command
    page = compression.report.read_text()
    assert all(step.name in page for step in steps)


def test_the_student_follows_the_route_that_the_teacher_recorded(compression: Conclusion, teacher: Path) -> None:
    plan, route = Plan.read(compression.report.parent / "plan.json")
    assert plan.strategy == "progress" and route.folder.resolve() == (teacher / "route").resolve()
