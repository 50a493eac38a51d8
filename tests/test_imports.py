"""What holds the house up: imports point downwards, and no line of the package runs what a file says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "facekd"

FLOORS = {
    1: ["errors", "files", "progress", "config", "runs", "vectors"],
    2: ["data", "models", "heads", "losses"],
    3: ["training", "route"],
    4: ["methods", "evaluation", "export", "report"],
    5: ["verbs"],
    6: ["cli", "__init__", "__main__"],
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
FORBIDDEN = [("training", "route")]
"""Arrows between rooms of one floor that must not be there, even where they close no circle."""

MODULES = sorted(PACKAGE.rglob("*.py"))
DANGEROUS = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "marshal.load", "shelve.open",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "joblib.load", "eval", "exec", "os.system",
}


def name_of(file: Path, package: Path) -> str:
    parts = ("facekd", *file.relative_to(package).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def room_of(module: str) -> str:
    """``facekd.data.views`` lies in ``data``; ``facekd`` itself is ``facekd/__init__.py``."""
    return (module.split(".") + ["__init__"])[1]


def imported(file: Path, package: Path) -> Iterator[str]:
    """Every module of the package that a file imports, also inside functions and for type checking only."""
    here = name_of(file, package).split(".")
    folder = here if file.name == "__init__.py" else here[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "facekd")
        elif isinstance(node, ast.ImportFrom):
            base = [*folder[: len(folder) - node.level + 1], *(node.module or "").split(".")] if node.level else []
            source = ".".join(part for part in base if part) or (node.module or "")
            if source == "facekd":  # 'from facekd import files' means the room, anything else facekd/__init__.py
                for alias in node.names:
                    below = (package / alias.name).is_dir() or (package / f"{alias.name}.py").is_file()
                    yield f"facekd.{alias.name}" if below else "facekd"
            elif source.startswith("facekd."):
                yield source


def arrows(package: Path) -> set[tuple[str, str]]:
    """Pairs of different rooms, the first of which imports the second."""
    pairs = {
        (room_of(name_of(file, package)), room_of(target))
        for file in package.rglob("*.py") for target in imported(file, package)
    }
    return {(one, other) for one, other in pairs if one != other}


def test_every_room_has_its_floor() -> None:
    assert {room_of(name_of(file, PACKAGE)) for file in MODULES} - set(FLOOR) == set()


def test_no_import_points_upwards() -> None:
    assert [f"{one} imports {other}" for one, other in arrows(PACKAGE) if FLOOR[one] < FLOOR[other]] == []


def test_rooms_import_each_other_in_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for one, other in arrows(PACKAGE):
        graph.setdefault(one, set()).add(other)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize(("one", "other"), FORBIDDEN)
def test_the_rooms_of_one_floor_keep_their_order(one: str, other: str) -> None:
    assert (one, other) not in arrows(PACKAGE)


def test_an_import_is_found_wherever_it_hides(tmp_path: Path) -> None:
    package = tmp_path / "facekd"
    for room in ("data", "route", "heads"):
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").write_text("", encoding="utf-8")
    (package / "files.py").write_text("def late():\n    from facekd.route import plan\n", encoding="utf-8")
    (package / "errors.py").write_text("from facekd import data, teach\n", encoding="utf-8")
    (package / "heads" / "one.py").write_text("from ..route.plan import x\nimport facekd.data.views as v\n", encoding="utf-8")
    assert arrows(package) == {
        ("files", "route"), ("errors", "data"), ("errors", "__init__"), ("heads", "route"), ("heads", "data"),
    }


def calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> object:
    return next((k.value.value for k in call.keywords if k.arg == name and isinstance(k.value, ast.Constant)), None)


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_nothing_prints(file: Path) -> None:
    assert [call.lineno for name, call in calls(file) if name == "print"] == []


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_except_is_bare(file: Path) -> None:
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    assert [node.lineno for node in nodes if isinstance(node, ast.ExceptHandler) and node.type is None] == []


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_nothing_read_from_disk_can_run_code(file: Path) -> None:
    found = [f"{name} in line {call.lineno}" for name, call in calls(file) if name in DANGEROUS]
    found += [f"torch.load without weights_only=True in line {call.lineno}" for name, call in calls(file)
              if name == "torch.load" and keyword(call, "weights_only") is not True]
    found += [f"allow_pickle in line {call.lineno}" for _, call in calls(file)
              if any(k.arg == "allow_pickle" for k in call.keywords) and keyword(call, "allow_pickle") is not False]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in ("pickle", "marshal", "joblib", "torch", "yaml"):
            found += [f"from {node.module} import {a.name} hides what is called" for a in node.names if "load" in a.name]
    assert found == []
