"""The table of several results of identification among distractors, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

import rich.table
from rich.table import Column

from facekd.evaluation.identification.result import IdentificationResult
from facekd.reporting import formatting

CAPTION = "In percent [95 % bootstrap interval over identities]."


def identification_table(results: Mapping[str, IdentificationResult]) -> rich.table.Table:
    """Return a table with one row per result; a FAR that no result could measure has no column.

    Args:
        results: results by title, all at the same FARs; at least one.
    """
    all_fars = next(iter(results.values())).tar
    fars = [far for far in all_fars if any(result.tar[far] is not None for result in results.values())]
    table = rich.table.Table(Column("test", no_wrap=True), "pairs", "distractors", "rank-1", "rank-10",
                             *(f"TAR @ {far}" for far in fars), caption=CAPTION)
    for title, result in results.items():
        table.add_row(
            title, f"{result.pairs:,}", f"{result.distractors:,}", _rate(result.rank1, result.rank1_interval),
            formatting.percent(result.cmc[9]), *(_rate(result.tar[far], result.tar_interval[far]) for far in fars),
        )
    return table


def identification_notes(results: Mapping[str, IdentificationResult]) -> list[str]:
    """Return the notes of all results, each once, in their order."""
    return list(dict.fromkeys(note for result in results.values() for note in result.notes))


def _rate(rate: float | None, interval: tuple[float, float] | None) -> str:
    return formatting.with_interval(rate, interval).replace(" ", "\n", 1)
