"""What holds the house up: imports point downwards, and no line of the package runs what a file says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "facekd"

FLOORS = {
    1: ["errors", "types", "utils", "distributed", "config", "run"],
    2: ["data", "models", "heads", "losses"],
    3: ["training", "route"],
    4: ["methods", "evaluation", "deploy", "reporting", "preflight"],
    5: ["api"],
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
    """``facekd.data.transforms`` lies in ``data``; ``facekd`` itself is ``facekd/__init__.py``."""
    return [*module.split("."), "__init__"][1]


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
    text = "from ..route.plan import x\nimport facekd.data.transforms as v\n"
    (package / "heads" / "one.py").write_text(text, encoding="utf-8")
    assert arrows(package) == {
        ("files", "route"), ("errors", "data"), ("errors", "__init__"), ("heads", "route"), ("heads", "data"),
    }


def nodes() -> Iterator[tuple[str, ast.AST]]:
    """Every node of the package's code and its place."""
    for file in MODULES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            yield f"{file.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}", node


def calls() -> Iterator[tuple[str, str, dict[str | None, object]]]:
    """Every call: its place, what is called, and the constants among its keyword arguments."""
    for place, node in nodes():
        if isinstance(node, ast.Call):
            constants: dict[str | None, object] = {
                k.arg: k.value.value if isinstance(k.value, ast.Constant) else ... for k in node.keywords
            }
            yield place, ast.unparse(node.func), constants


def test_nothing_prints() -> None:
    assert [place for place, name, _ in calls() if name == "print"] == []


def test_no_except_is_bare() -> None:
    assert [place for place, node in nodes() if isinstance(node, ast.ExceptHandler) and node.type is None] == []


def test_nothing_that_runs_code_is_called() -> None:
    assert [f"{place} {name}" for place, name, _ in calls() if name in DANGEROUS] == []


def test_torch_loads_weights_only() -> None:
    loads = [(place, given.get("weights_only")) for place, name, given in calls() if name == "torch.load"]
    assert loads and [place for place, only in loads if only is not True] == []


def test_numpy_loads_no_pickles() -> None:
    assert [place for place, _, given in calls() if given.get("allow_pickle", False) is not False] == []


def test_loaders_are_called_by_their_full_name() -> None:
    """``from torch import load`` would slip through the tests above."""
    loaders = [
        f"{place} from {node.module} import {alias.name}"
        for place, node in nodes() if isinstance(node, ast.ImportFrom) for alias in node.names
        if node.module in ("pickle", "marshal", "joblib", "torch", "yaml") and "load" in alias.name.lower()
    ]
    assert loaders == []
