"""``facekd eval megaface --compare``: the difference of two results, by a paired bootstrap over identities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facekd.errors import DataError
from facekd.evaluation.identification.comparison import compare_identification
from facekd.evaluation.identification.per_identity import read_identity_counts
from facekd.evaluation.statistics.difference import Difference
from facekd.evaluation.statistics.far import parse_far
from facekd.io.documents import read_json
from facekd.io.reading import reading
from facekd.text import path_text, short_repr

REMEDY = "measure it again with 'facekd eval megaface --json'"


@dataclass(frozen=True)
class _Result:
    """What a comparison needs of a result file.

    Attributes:
        rank1: rank-1 identification rate.
        tar: true accept rate by false accept rate, where it was measured.
        noise_mode: how wrong images were handled.
        across: whether probes and distractors are of different models.
    """

    rank1: float
    tar: dict[str, float]
    noise_mode: str
    across: bool


def compare_models(first: Path | str, second: Path | str) -> list[Difference]:
    """Compare two models in identification of the same identities.

    Args:
        first: a result file of `facekd.api.evaluate.megaface.megaface`, with its ``.npz`` next to it.
        second: another result file.

    Raises:
        DataError: a file cannot be read, both are one file, or the results are of different tests.
    """
    if Path(first).resolve() == Path(second).resolve():
        raise DataError(f"{path_text(first)} is given twice; give two results")
    first_result, second_result = _read_result(Path(first)), _read_result(Path(second))
    if first_result.noise_mode != second_result.noise_mode:
        raise DataError(
            f"the two results are of different tests (noise modes {short_repr(first_result.noise_mode)} and "
            f"{short_repr(second_result.noise_mode)}); compare models in one mode")
    fars = [far for far in first_result.tar if far in second_result.tar]
    across = ", across models" if first_result.across or second_result.across else ""
    figures = [(f"rank-1{across}", first_result.rank1, second_result.rank1),
               *((f"TAR at FAR {far}{across}", first_result.tar[far], second_result.tar[far]) for far in fars)]
    first_counts, second_counts = (read_identity_counts(Path(file).with_suffix(".npz")) for file in (first, second))
    return compare_identification(first_counts, second_counts, figures, fars)


def _read_result(file: Path) -> _Result:
    content = read_json(file, remedy=REMEDY)
    if content.get("kind") != "megaface":
        raise DataError(f"{path_text(file)} is no result of 'facekd eval megaface'; give two of these")
    with reading(file, remedy=REMEDY):
        tar = {far: _rate(rate, f"tar {far}") for far, rate in content["tar"].items() if rate is not None}
        for far in tar:
            parse_far(far)
        return _Result(_rate(content["rank1"], "rank1"), tar, str(content.get("noise_mode", "raw")),
                       content.get("across") is True)


def _rate(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name} is {short_repr(value)}, no rate")
    return float(value)
