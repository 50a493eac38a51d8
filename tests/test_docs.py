import csv
import re
import subprocess
import sys
from pathlib import Path

from facekd.arguments import make_parser
from facekd.models.registry import create
from facekd.reporting.resultset import results_page

ROOT = Path(__file__).resolve().parent.parent


def test_tables_are_what_their_result_files_give() -> None:
    check = subprocess.run([sys.executable, "tools/tables.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert check.returncode == 0, check.stderr


def test_the_results_page_is_what_the_files_of_results_give() -> None:
    assert (ROOT / "RESULTS.md").read_text(encoding="utf-8") == results_page(ROOT / "results")


def test_published_figures_are_of_networks_that_can_be_made_here() -> None:
    with (ROOT / "results" / "published.csv").open(encoding="utf-8", newline="") as handle:
        figures = list(csv.DictReader(handle))
    pairs = {(line["teacher"], line["student"]) for line in figures}
    assert len(pairs) == 13
    assert len({(line["teacher"], line["student"], line["method"]) for line in figures}) == len(figures)
    for name in {name for pair in pairs for name in pair}:
        assert create(name, size=32, outputs=100).spec.name == name


def test_every_command_line_in_the_readme_is_understood() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    commands = [line.split("#")[0].split() for line in lines if line.startswith("facekd")]
    assert len(commands) >= 10
    for words in commands:
        assert make_parser().parse_args(words[1:]).verb


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
