"""The architecture: imports point to lower layers, and no call runs the content of a file.

Printing, bare excepts and most of the dangerous calls are left to ruff (rules T20, E722 and S).
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "facekd"

LAYERS = {
    1: ["text", "errors", "types", "utils", "io", "distributed", "config", "run", "run_info"],
    2: ["data", "models", "heads", "losses"],
    3: ["training", "route"],
    4: ["methods", "evaluation", "deploy", "reporting", "preflight"],
    5: ["api"],
    6: ["cli", "__init__", "__main__"],
}
"""The packages and modules at the top of facekd, by layer; each imports its own layer and lower ones only."""
LAYER_OF = {package: layer for layer, packages in LAYERS.items() for package in packages}
FORBIDDEN = [("training", "route")]
"""Imports between packages of one layer that are not allowed, even if they close no cycle."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def module_name(file: Path, package: Path) -> str:
    parts = ("facekd", *file.relative_to(package).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def package_of(module: str) -> str:
    """``facekd.data.transforms`` is in ``data``; ``facekd`` itself is ``facekd/__init__.py``."""
    return [*module.split("."), "__init__"][1]


def imported_modules(file: Path, package: Path) -> Iterator[str]:
    """Every module of facekd that a file imports, also inside functions and for type checking only."""
    own_name = module_name(file, package).split(".")
    folder = own_name if file.name == "__init__.py" else own_name[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "facekd")
        elif isinstance(node, ast.ImportFrom):
            base = [*folder[: len(folder) - node.level + 1], *(node.module or "").split(".")] if node.level else []
            source = ".".join(part for part in base if part) or (node.module or "")
            if source == "facekd":  # 'from facekd import files' means the module, anything else facekd/__init__.py
                for alias in node.names:
                    exists = (package / alias.name).is_dir() or (package / f"{alias.name}.py").is_file()
                    yield f"facekd.{alias.name}" if exists else "facekd"
            elif source.startswith("facekd."):
                yield source


def package_imports(package: Path) -> set[tuple[str, str]]:
    """Pairs of different packages, the first of which imports the second."""
    pairs = {
        (package_of(module_name(file, package)), package_of(module))
        for file in package.rglob("*.py") for module in imported_modules(file, package)
    }
    return {(importer, imported) for importer, imported in pairs if importer != imported}


def test_every_package_has_its_layer() -> None:
    assert {package_of(module_name(file, PACKAGE)) for file in MODULES} - set(LAYER_OF) == set()


def test_no_import_points_upwards() -> None:
    assert [f"{importer} imports {imported}" for importer, imported in package_imports(PACKAGE)
            if LAYER_OF[importer] < LAYER_OF[imported]] == []


def test_packages_import_each_other_in_no_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for importer, imported in package_imports(PACKAGE):
        graph.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize(("importer", "imported"), FORBIDDEN)
def test_the_packages_of_one_layer_keep_their_order(importer: str, imported: str) -> None:
    assert (importer, imported) not in package_imports(PACKAGE)


def test_an_import_is_found_wherever_it_hides(tmp_path: Path) -> None:
    package = tmp_path / "facekd"
    for name in ("data", "route", "heads"):
        (package / name).mkdir(parents=True)
        (package / name / "__init__.py").write_text("", encoding="utf-8")
    (package / "files.py").write_text("def late():\n    from facekd.route import plan\n", encoding="utf-8")
    (package / "errors.py").write_text("from facekd import data, teach\n", encoding="utf-8")
    text = "from ..route.plan import x\nimport facekd.data.transforms as v\n"
    (package / "heads" / "one.py").write_text(text, encoding="utf-8")
    assert package_imports(package) == {
        ("files", "route"), ("errors", "data"), ("errors", "__init__"), ("heads", "route"), ("heads", "data"),
    }


def calls() -> Iterator[tuple[str, str, dict[str | None, object]]]:
    """Every call in facekd: its location, the function, and the constants among its keyword arguments."""
    for file in MODULES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                constants: dict[str | None, object] = {
                    keyword.arg: keyword.value.value if isinstance(keyword.value, ast.Constant) else ...
                    for keyword in node.keywords
                }
                yield f"{file.relative_to(PACKAGE)}:{node.lineno}", ast.unparse(node.func), constants


def test_numpy_loads_no_pickles() -> None:
    assert [location for location, _, constants in calls() if constants.get("allow_pickle", False) is not False] == []


def test_torch_loads_weights_only() -> None:
    loads = [(location, constants.get("weights_only")) for location, name, constants in calls() if name == "torch.load"]
    assert loads and [location for location, weights_only in loads if weights_only is not True] == []


def test_loaders_are_called_by_their_full_name() -> None:
    """``from torch import load`` would be missed by the test above; ruff has no rule for ``joblib``."""
    loaders = [
        f"{file.relative_to(PACKAGE)} from {node.module} import {alias.name}"
        for file in MODULES for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) for alias in node.names
        if node.module in ("torch", "joblib") and "load" in alias.name.lower()
    ]
    assert loaders == []
    assert [location for location, name, _ in calls() if name == "joblib.load"] == []


@pytest.mark.parametrize(("line", "rule"), [
    ("print(1)", "T201"), ("try:\n    f()\nexcept:\n    pass", "E722"), ("import pickle\npickle.loads(b'')", "S301"),
    ("from pickle import loads\nloads(b'')", "S301"), ("import marshal\nmarshal.loads(b'')", "S302"),
    ("import shelve\nshelve.open('')", "S301"), ("import yaml\nyaml.load('')", "S506"), ("eval('1')", "S307"),
    ("exec('1')", "S102"), ("import os\nos.system('')", "S605"),
])
def test_ruff_refuses_what_prints_or_runs_code(line: str, rule: str) -> None:
    """The project's settings select these rules for the package, which ``make test`` checks."""
    pytest.importorskip("ruff")
    command = [sys.executable, "-m", "ruff", "check", "--output-format=concise", "--no-cache", "--stdin-filename"]
    command += [str(PACKAGE / "new.py"), "-"]
    checked = subprocess.run(command, input=line, capture_output=True, text=True, check=False)
    assert rule in checked.stdout
