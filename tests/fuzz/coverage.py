"""Which modules of facekd open or parse files, found in their source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import facekd

PACKAGE = Path(facekd.__file__).resolve().parent
READING = frozenset({
    "read_bytes", "read_text", "read_json", "read_yaml", "read_npz", "open_npy", "read_versioned", "parse_json",
    "parse_yaml",
    "reading", "safe_load", "safe_open", "load_file", "fromfile", "memmap", "loadtxt", "genfromtxt", "InferenceSession",
    "imdecode", "imread", "ParquetFile", "ZipFile", "TarFile", "FaceDetectorYN", "get_model", "load_from_string",
    "loads",
    "genops", "read_graph", "load_graph", "load_external_data_for_model", "pread", "readv", "mmap", "literal_eval",
    "ParseFromString", "FromString", "create_session",
})
"""Functions and methods that read files or parse their content; ``open`` is looked at by its arguments."""
OPENERS = frozenset({"os", "tarfile", "lmdb", "zipfile", "Image", "gzip", "io"})
"""Modules whose ``open`` takes a path."""
LOADERS = frozenset({"np", "torch", "onnx", "json", "yaml", "pickle"})
"""Modules whose ``load`` reads a file."""


def opening_modules() -> dict[str, list[str]]:
    """Return the modules of facekd that open or parse files, as paths below the package, with the calls that do."""
    modules = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        calls = sorted(set(reading_calls(ast.parse(file.read_text(encoding="utf-8")))))
        if calls:
            modules[file.relative_to(PACKAGE).as_posix()] = calls
    return modules


def reading_calls(tree: ast.AST) -> Iterator[str]:
    """Yield the name of every call in a module that reads a file or parses its content."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        loads = name == "load" and _owner(function) in LOADERS
        if name in READING or loads or (name == "open" and _opens_to_read(node)):
            yield name


def _owner(function: ast.expr) -> str:
    """Return the name before the dot of a called method; empty for another expression."""
    owner = function.value if isinstance(function, ast.Attribute) else None
    return owner.id if isinstance(owner, ast.Name) else ""


def _opens_to_read(call: ast.Call) -> bool:
    """Return whether a call of ``open`` opens a file, and not for writing alone."""
    function = call.func
    if _owner(function) in OPENERS:
        return not any("O_WRONLY" in ast.dump(argument) for argument in call.args)
    modes = call.args if isinstance(function, ast.Attribute) else call.args[1:]
    texts = [mode.value for mode in modes[:1] if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
    if isinstance(function, ast.Attribute) and call.args and not texts:
        return False  # Route.open(path), target.open(files): functions of facekd, whose own calls are found
    return not texts or "r" in texts[0] or "+" in texts[0]
