import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from facekd.cli.main import make_parser
from facekd.config import DistillRecipe
from facekd.config.loading import load_recipe
from facekd.methods.objective import parse_objective
from facekd.models.registry import create
from facekd.reporting.results.result_set import results_page

ROOT = Path(__file__).resolve().parent.parent


def test_tables_are_what_their_result_files_give() -> None:
    check = subprocess.run([sys.executable, "tools/tables.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert check.returncode == 0, check.stderr


def test_the_figures_of_week_are_what_its_tool_calculates(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "tools/week.py", tmp_path / "week.csv"], cwd=ROOT, check=True)
    assert (tmp_path / "week.csv").read_text() == (ROOT / "results" / "benchmarks" / "week.csv").read_text()


def test_the_results_page_is_what_the_files_of_results_give() -> None:
    assert (ROOT / "RESULTS.md").read_text(encoding="utf-8") == results_page(ROOT / "results")


def test_published_figures_are_of_networks_that_can_be_made_here() -> None:
    with (ROOT / "results" / "published" / "classes.csv").open(encoding="utf-8", newline="") as handle:
        figures = list(csv.DictReader(handle))
    pairs = {(line["teacher"], line["student"]) for line in figures}
    assert len(pairs) == 13
    assert len({(line["teacher"], line["student"], line["method"]) for line in figures}) == len(figures)
    for name in {name for pair in pairs for name in pair}:
        assert create(name, size=32, outputs=100).spec.name == name


def commands(page: str) -> list[list[str]]:
    """The arguments of every ``facekd`` command in the shell blocks of a page."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.replace("\\\n", "").splitlines()]
    return [words[1:] for words in lines if words[:1] == ["facekd"]]


@pytest.mark.parametrize(("page", "minimum"), [
    ("README.md", 10), ("docs/methods.md", 5), ("docs/deploy.md", 6), ("docs/preflight.md", 2), ("docs/cleaning.md", 2),
    ("docs/students.md", 5),
    ("docs/compress.md", 3), ("docs/grouping.md", 3), ("docs/prune.md", 3), ("docs/thresholds.md", 3),
])
def test_every_command_line_is_understood(page: str, minimum: int) -> None:
    assert len(commands(page)) >= minimum
    for words in commands(page):
        assert make_parser().parse_args(words).command


def test_every_recipe_line_about_methods_is_understood() -> None:
    lines = [words for words in commands("docs/methods.md") if words[0] == "distill"]
    for dataset, plan, out, *overrides in (words[1:] for words in lines):
        recipe = load_recipe(DistillRecipe, None, overrides, {"dataset": dataset, "plan": plan, "out": out})
        assert parse_objective(recipe.method, recipe.losses, recipe.head.closed_set).terms
    assert len(lines) >= 5


def test_links_between_pages_have_targets() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
