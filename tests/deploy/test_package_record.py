"""The schema of ``metadata.json``: a package of this version follows it, and a damaged one is refused with the key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from facekd.deploy.package import Package, read_package
from facekd.errors import ExportError

FILE = ("files", "onnx int8")
ACCURACY = (*FILE, "validation", "verification", "drop", "accuracy")


@pytest.fixture
def package_copy(exported_package: Package, tmp_path: Path) -> Path:
    """A copy of the package that tests may damage."""
    return shutil.copytree(exported_package.path, tmp_path / "phone")


def damage(package: Path, keys: tuple[str, ...], value: object) -> None:
    """Set a value of the metadata; ``...`` removes it."""
    content: dict[str, Any] = json.loads((package / "metadata.json").read_text())
    *levels, last = keys
    place = content
    for level in levels:
        place = place[level]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    (package / "metadata.json").write_text(json.dumps(content))


@pytest.mark.parametrize(("keys", "value"), [
    (("parameters",), ...), (("parameters",), "many"), (("macs",), 1.5), (("size",), 0), (("files",), []),
    (("files",), ...), ((*FILE, "files"), []), ((*FILE, "files"), ["../other.onnx"]), ((*FILE, "files"), ["x.onnx"]),
    ((*FILE, "bytes"), "4 MB"), ((*FILE, "notes"), [[1]]), ((*FILE, "target"), ["onnx"]),
    ((*FILE, "precision"), "int4"),
    ((*FILE, "validation"), "passed"), ((*FILE, "validation", "status"), 3),
    ((*FILE, "validation", "cosine"), {"noise": {}}), ((*FILE, "validation", "cosine", "noise", "1", "mean"), "one"),
    ((*FILE, "latency"), "fast"), ((*FILE, "latency", "quartiles_ms"), [1.0]), ((*FILE, "latency"), "not run"),
    (ACCURACY, ...), ((*ACCURACY, "points"), "0.1"), ((*ACCURACY, "interval"), [0.1]),
    (("sha256",), []), (("sha256", "../x"), "00"), (("sha256", "tiny.onnx"), 5), (("io_format",), {}),
    (("results",), {"lfw": 3}), (("name",), None), (("colour",), "red"),
])
def test_a_damaged_package_is_refused_in_a_short_line(
    package_copy: Path, keys: tuple[str, ...], value: object
) -> None:
    damage(package_copy, keys, value)
    with pytest.raises(ExportError, match=r"metadata\.json is damaged: .*; restore it, or export it again") as raised:
        read_package(package_copy)
    assert len(str(raised.value)) < 620 and keys[0] in str(raised.value)
