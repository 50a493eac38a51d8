"""The exception tree: every message says what was wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence


class FacekdError(Exception):
    """Base of all errors meant for a person; the command line prints the message without a traceback."""


class DataError(FacekdError):
    """A face set, an image, a pair list or a feature file cannot be used as it is."""


class ModelError(FacekdError):
    """An unknown architecture, or weights that do not belong to the model at hand."""


class RouteError(FacekdError):
    """A route, a plan or a teacher cache is damaged, or names what is not there."""


class ExportError(FacekdError):
    """An exported file does not give the same answer as the model it came from."""


class SetupError(FacekdError):
    """The machine lacks something: a system library, a compiler, disk space, a package."""


class RecipeError(FacekdError):
    """A recipe with one or more mistakes; all of them are listed at once.

    Args:
        problems: one sentence each, naming the key, what is wrong with it and what would be right.
        source: the file or command line the recipe came from.
    """

    def __init__(self, problems: Sequence[str], source: str) -> None:
        self.problems = list(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"{count} in {source}:", *(f"  - {p}" for p in self.problems)]))


def nearest(name: str, valid: Sequence[str]) -> str:
    """A hint for a name that does not exist: the nearest valid one, or all of them.

    Args:
        name: what the person wrote.
        valid: the names that exist.

    Returns:
        ``"did you mean 'x'?"`` or ``"valid names: a, b, c"``.
    """
    import difflib

    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"valid names: {', '.join(sorted(valid))}"
