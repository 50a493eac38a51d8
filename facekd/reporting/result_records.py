"""The result files of evaluations: the figures that reports read from each kind, checked when they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from facekd.errors import DataError
from facekd.io.documents import read_json
from facekd.io.records import Count, Interval, Record, check_record
from facekd.reporting.comparison_records import AgreeResult, AllImpostorsRecord, GroupsRecord, ProbabilityRecord

Fraction = Annotated[float, Field(ge=-1e-6, le=1 + 1e-6)]
"""A rate, of which rounding may leave the range from 0 to 1."""
Rates = dict[str, Fraction | None]
Intervals = dict[str, Interval | None]


class _Result(Record):
    """What all results share; further figures, and facts about the evaluation, are not checked."""

    model_config = ConfigDict(extra="allow")

    notes: list[str]
    command_line: str | None = None
    hardware: str | None = None


class _PairRates(_Result):
    """TAR by FAR."""

    tar: Rates
    tar_interval: Intervals

    @model_validator(mode="after")
    def _check_tar(self) -> _PairRates:
        _check_keys("tar", self.tar, self.tar_interval)
        return self


class _Roc(Record):
    """A ROC curve."""

    far: list[Fraction]
    tar: list[Fraction]

    @model_validator(mode="after")
    def _check_lengths(self) -> _Roc:
        if len(self.far) != len(self.tar):
            raise ValueError("'far' and 'tar' differ in length")
        return self


class VerifyResult(_PairRates):
    """See `facekd.evaluation.verification.result.VerificationResult`."""

    accuracy: Fraction
    accuracy_std: Fraction
    accuracy_interval: Interval
    auc: Fraction
    eer: Fraction
    threshold: float
    pairs: Count
    roc: _Roc | None = None
    all_impostors: AllImpostorsRecord | None = None
    probability: ProbabilityRecord | None = None


class MegafaceResult(_PairRates):
    """See `facekd.evaluation.identification.result.IdentificationResult`."""

    rank1: Fraction
    rank1_interval: Interval
    cmc: list[Fraction] = Field(min_length=1)
    pairs: Count
    probes: Count
    identities: Count
    distractors: Count


class TemplatePairs(_PairRates):
    """The 1:1 result of IJB, see `facekd.evaluation.ijb.verification`."""

    genuine: Count
    impostors: Count
    templates: Count
    identities: Count


class IdentifyResult(_Result):
    """See `facekd.evaluation.identification.open_set_result.OpenSetResult`."""

    rank: Rates
    rank_interval: Intervals
    cmc: list[Fraction] = Field(min_length=1)
    tpir: Rates
    tpir_interval: Intervals
    mated: Count
    unmated: Count
    identities: Count
    gallery_identities: Count
    galleries: Count

    @model_validator(mode="after")
    def _check_rates(self) -> IdentifyResult:
        _check_keys("rank", self.rank, self.rank_interval)
        _check_keys("tpir", self.tpir, self.tpir_interval)
        return self


class IjbResult(_Result):
    """The 1:1 result and the 1:N results by gallery."""

    verification: TemplatePairs | None
    identification: dict[str, IdentifyResult]
    images: Count
    templates: Count


class _Bin(Record):
    """See `facekd.evaluation.classification.calibration.Bin`."""

    model_config = ConfigDict(extra="allow")

    confidence: Fraction | None
    accuracy: Fraction | None
    count: Count

    @model_validator(mode="after")
    def _check_count(self) -> _Bin:
        if self.count and (self.confidence is None or self.accuracy is None):
            raise ValueError("a bin with images needs 'confidence' and 'accuracy'")
        return self


class ClassifyResult(_Result):
    """See `facekd.evaluation.classification.result.ClassificationResult`."""

    top1: Fraction
    top1_interval: Interval
    top5: Fraction | None
    top5_interval: Interval | None
    per_class: Rates
    ece: Fraction
    reliability: list[_Bin]
    nll: float
    images: Count
    classes: Count
    agreement: Fraction | None
    kl: float | None

    @field_validator("reliability")
    @classmethod
    def _check_reliability(cls, value: list[_Bin]) -> list[_Bin]:
        if not any(group.count for group in value):
            raise ValueError("no bin has an image")
        return value

    @field_validator("per_class")
    @classmethod
    def _check_classes(cls, value: Rates) -> Rates:
        if all(share is None for share in value.values()):
            raise ValueError("no class has an image")
        return value


RESULTS: Mapping[str, type[_Result]] = {
    "verify": VerifyResult, "megaface": MegafaceResult, "ijb": IjbResult, "identify": IdentifyResult,
    "classify": ClassifyResult,
}
"""The kinds of results that reports show, in their order."""
COMPARISONS: Mapping[str, type[Record]] = {"agree": AgreeResult, "groups": GroupsRecord}
"""The kinds of results that the page of a run shows, and tables of runs do not."""


def read_result(file: Path, kind: str) -> dict[str, Any]:
    """Read a result file ``KIND-NAME.json``.

    Returns:
        its content; ``name`` is that of the file.

    Raises:
        DataError: the file lacks a figure of this kind of result, or is damaged.
    """
    content = read_json(file)
    check_record({**RESULTS, **COMPARISONS}[kind], content, file, DataError, remedy="delete it and evaluate again")
    return {**content, "name": file.stem.removeprefix(f"{kind}-")}


def _check_keys(name: str, rates: Rates, intervals: Intervals) -> None:
    if set(rates) != set(intervals):
        raise ValueError(f"'{name}' and '{name}_interval' have other keys")
