from __future__ import annotations

from rich.console import Console

from facekd.methods.catalogue import MethodEntry, list_entries
from facekd.reporting.tables.methods import methods_table


def test_a_method_is_a_row_of_name_family_needs_teacher_and_paper() -> None:
    entry = MethodEntry("kd", "responses", "Hinton 2015", "logits", "cached or live", "an equation", weight="0.9")
    console = Console(width=120)
    with console.capture() as captured:
        console.print(methods_table([entry]))
    _, row = captured.get().splitlines()
    assert [cell for cell in row.split("  ") if cell] and "an equation" not in row
    for cell in ("kd", "responses", "logits", "cached or live", "Hinton 2015"):
        assert cell in row


def test_the_catalogue_has_a_row_per_method() -> None:
    entries = list_entries()
    assert methods_table(entries).row_count == len(entries) > 20
