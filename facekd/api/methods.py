"""``facekd methods``: what a student can be trained by."""

from __future__ import annotations

from facekd.methods.catalogue import LEFT_OUT as LEFT_OUT
from facekd.methods.catalogue import Entry, catalogue, entry


def methods() -> list[Entry]:
    """Every method in words, by family and name."""
    return catalogue()


def show_method(names: str) -> str:
    """Methods as text: paper, equation, weight, options, the line of a recipe, and what is ours in them.

    Args:
        names: one, or several joined by ``+``.

    Raises:
        ModelError: an unknown name.
    """
    return "\n\n".join(_shown(entry(name.strip())) for name in names.split("+"))


def _shown(one: Entry) -> str:
    facts = {"paper": one.paper, "family": one.family, "needs": one.needs, "teacher": one.teacher,
             "equation": one.equation, "weight": one.weight, "options": one.options, "recipe": one.line}
    lines = [one.name, *(f"  {key:9} {value}" for key, value in facts.items() if value)]
    return "\n".join([*lines, *([""] if one.text else []), *(f"  {line}" for line in one.text.splitlines())])
