"""The exception tree; every message says what is wrong, where, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from facekd.text import MESSAGE_LIMIT, shorten


class FacekdError(Exception):
    """Base of all errors that a user can mend; the command line prints the message without a traceback.

    Args:
        message: one line; control characters in it are escaped, and the middle of a very long one is cut.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shorten(message, MESSAGE_LIMIT))


class DataError(FacekdError):
    """A face set, an image, a pair list or a feature file cannot be used as it is."""


class ModelError(FacekdError):
    """An architecture is unknown, or weights do not belong to the model."""


class OptionError(ModelError):
    """An option of a network, head or loss is unknown or has a value that cannot be used."""


class RouteError(FacekdError):
    """A route, a plan or a teacher cache is damaged, or refers to a point that does not exist."""


class ExportError(FacekdError):
    """An exported file does not give the same outputs as the model it was made from."""


class SetupError(FacekdError):
    """The machine lacks something: a system library, a compiler, disk space, a package."""


class RecipeError(FacekdError):
    """A recipe with one or more mistakes, all of which are listed at once.

    Args:
        problems: one sentence for each mistake: the key, what is wrong with its value, and what would be right.
        source: the file or command line the recipe came from.
    """

    def __init__(self, problems: Sequence[str], source: str) -> None:
        self.problems = list(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [f"{count} in {source}:", *(f"  - {problem}" for problem in self.problems)]
        Exception.__init__(self, "\n".join(shorten(line, MESSAGE_LIMIT) for line in lines))


def did_you_mean(name: object, valid: Sequence[str]) -> str:
    """Return a hint for an unknown name: the most similar valid name, or all of them.

    Args:
        name: the unknown name; in a file it may be no text.
        valid: the names that exist.

    Returns:
        ``"did you mean 'x'?"`` or ``"valid names: a, b, c"``.
    """
    matches = difflib.get_close_matches(shorten(name, 100), valid, n=1, cutoff=0.6)
    return f"did you mean '{matches[0]}'?" if matches else f"valid names: {', '.join(sorted(valid))}"
