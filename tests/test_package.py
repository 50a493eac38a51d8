"""What users download: the wheel and its version; and the files at the top of the repository."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import facekd

ROOT = Path(__file__).resolve().parent.parent
TOP_LEVEL = {
    "facekd", "recipes", "eval", "tools", "tests", "docs", ".ci", ".gitignore", "setup.cfg", "pyproject.toml",
    "results", "RESULTS.md", "Makefile", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff",
    "SECURITY.md",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel of this checkout, built from a copy so that no file is left in the tree and no old file is included."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "facekd", folder / "source" / "facekd", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation",
               "--disable-pip-version-check", "--wheel-dir", str(folder), str(folder / "source")]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    files = {p.relative_to(ROOT).as_posix() for p in (ROOT / "facekd").rglob("*") if p.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    assert "facekd/py.typed" in files
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == files


def test_the_wheel_contains_the_license_and_the_command(wheel: zipfile.ZipFile) -> None:
    metadata_files = {name.split("/", 1)[1]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert wheel.read(metadata_files["licenses/LICENSE"]) == (ROOT / "LICENSE").read_bytes()
    entry_points = configparser.ConfigParser()
    entry_points.read_string(wheel.read(metadata_files["entry_points.txt"]).decode())
    assert dict(entry_points["console_scripts"]) == {"facekd": "facekd.cli.main:main"}


def test_the_version_is_the_same_everywhere(wheel: zipfile.ZipFile) -> None:
    metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    assert Parser().parsestr(wheel.read(metadata).decode())["Version"] == facekd.__version__
    for name, pattern in (("CITATION.cff", r"^version: (\S+)$"), ("CHANGELOG.md", r"^## \[?v?(\d[^\]\s]*)")):
        match = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        assert match and match[1] == facekd.__version__, name


def test_the_top_level_holds_what_it_should() -> None:
    assert {name for name in TOP_LEVEL if not (ROOT / name).exists()} == set()


def test_the_top_level_holds_nothing_else() -> None:
    listing = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False)
    if listing.returncode != 0 or not listing.stdout:
        pytest.skip("not a git checkout: the files of the project are unknown")
    assert {name.split("/")[0] for name in listing.stdout.splitlines()} - TOP_LEVEL == set()
