"""``facekd methods``: the catalogue of losses, online methods and routes that can train a student."""

from __future__ import annotations

from facekd.methods.catalogue import EXCLUDED_METHODS as EXCLUDED_METHODS
from facekd.methods.catalogue import MethodEntry, get_entry, list_entries


def list_methods() -> list[MethodEntry]:
    """Return the description of every method, ordered by family and name."""
    return list_entries()


def show_method(names: str) -> str:
    """Return the description of methods as text: paper, equation, weight, options, recipe line, and our deviations.

    Args:
        names: one name, or several joined by ``+``.

    Raises:
        ModelError: a name is unknown.
    """
    return "\n\n".join(_format(get_entry(name.strip())) for name in names.split("+"))


def _format(entry: MethodEntry) -> str:
    fields = {"paper": entry.paper, "family": entry.family, "needs": entry.needs, "teacher": entry.teacher,
              "equation": entry.equation, "weight": entry.weight, "options": entry.options, "recipe": entry.usage}
    lines = [entry.name, *(f"  {name:9} {text}" for name, text in fields.items() if text)]
    if entry.description:
        lines += ["", *(f"  {line}" for line in entry.description.splitlines())]
    return "\n".join(lines)
