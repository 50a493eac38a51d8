"""Replaced functions of the API, whose calls are recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RecordedCall = tuple[tuple[Any, ...], dict[str, Any]]


@pytest.fixture
def record_calls(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[RecordedCall]]:
    """``record_calls("facekd.api.train.train", result)`` replaces a function and returns the list of its calls.

    A call is recorded as its positional and its keyword arguments.
    """

    def replace(target: str, result: Any = Path("run")) -> list[RecordedCall]:
        calls: list[RecordedCall] = []

        def function(*args: Any, **kwargs: Any) -> Any:
            calls.append((args, kwargs))
            return result

        monkeypatch.setattr(target, function)
        return calls

    return replace
