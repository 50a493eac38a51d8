"""Every module of the package has its test file at the same path under ``tests``."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "facekd"

WITHOUT = {
    "__main__.py": "one line; tests/api/test_torchrun.py runs it",
    "evaluation/types.py": "type aliases",
}
"""Modules without a test file of their own, and why."""


def find_test_files(module: Path) -> list[Path]:
    """The test files of a module: ``test_NAME.py``, or several ``test_NAME_SUBJECT.py``."""
    folder = ROOT / "tests" / module.parent
    return [*folder.glob(f"test_{module.stem}.py"), *folder.glob(f"test_{module.stem}_*.py")]


def modules() -> list[Path]:
    """All modules with code of their own, relative to the package."""
    files = (file.relative_to(PACKAGE) for file in PACKAGE.rglob("*.py"))
    return sorted(file for file in files if file.name != "__init__.py")


def test_every_module_has_its_test_file() -> None:
    missing = [str(module) for module in modules() if not find_test_files(module) and module.as_posix() not in WITHOUT]
    assert missing == []


def test_exceptions_are_modules_without_test_files() -> None:
    outdated = [name for name in WITHOUT if Path(name) not in modules() or find_test_files(Path(name))]
    assert outdated == []
