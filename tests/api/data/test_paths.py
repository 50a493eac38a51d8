from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import facekd
from facekd.api.data.paths import require_path
from facekd.errors import DataError


def test_a_path_is_returned() -> None:
    assert require_path("a/b", "the output") == Path("a/b")
    assert require_path(Path(), "the output") == Path(".")


@pytest.mark.parametrize("call", [
    lambda: facekd.pack("", "out"), lambda: facekd.pack("faces", ""), lambda: facekd.align("", "out"),
    lambda: facekd.align("photos", ""), lambda: facekd.clean("", "model", "out"),
])
def test_an_empty_path_is_not_the_current_folder(call: Callable[[], object], tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces" / "a").mkdir(parents=True)
    (tmp_path / "faces" / "a" / "1.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"the path of the .* is empty; give a path"):
        call()
