"""Parts of result files that compare models, people or images: agreement, groups, thresholds and probabilities."""

from __future__ import annotations

from pydantic import ConfigDict

from facekd.io.records import Count, Interval, Record


class _Open(Record):
    """A record whose further figures are not checked."""

    model_config = ConfigDict(extra="allow")


class EstimateRecord(Record):
    """See `facekd.evaluation.statistics.estimate.Estimate`."""

    value: float
    interval: Interval


class AllImpostorsRecord(_Open):
    """See `facekd.evaluation.verification.all_impostors.AllImpostors`."""

    impostor_pairs: Count
    people: Count
    thresholds: dict[str, float | None]
    threshold_interval: dict[str, Interval | None]
    tar: dict[str, float | None]
    tar_interval: dict[str, Interval | None]
    notes: list[str]


class _Bin(_Open):
    """See `facekd.evaluation.classification.calibration.Bin`."""

    confidence: float | None
    accuracy: float | None
    count: Count


class ProbabilityRecord(_Open):
    """See `facekd.evaluation.verification.probability.ProbabilityCalibration`."""

    slope: float
    intercept: float
    ece: float
    ece_limit: float
    bins: list[_Bin]
    pairs: Count


class _Cosines(Record):
    """See `facekd.evaluation.agreement.result.Cosines`."""

    mean: EstimateRecord
    median: EstimateRecord
    percentile1: EstimateRecord


class _Decisions(_Open):
    """See `facekd.evaluation.agreement.result.Decisions`."""

    threshold: float
    far: str | None
    source: str
    differ: EstimateRecord
    kept: EstimateRecord | None
    teacher_accepts: Count
    student_accepts: Count


class AgreeResult(_Open):
    """See `facekd.evaluation.agreement.result.AgreementResult`."""

    images: Count
    pairs: Count
    cosine: _Cosines | None
    rank_correlation: EstimateRecord
    decisions: list[_Decisions]
    notes: list[str]


class _Group(_Open):
    """See `facekd.evaluation.groups.result.GroupRates`."""

    group: str
    people: Count
    impostor_pairs: Count
    false_matches: Count
    fmr: EstimateRecord | None
    genuine_pairs: Count
    false_non_matches: Count
    fnmr: EstimateRecord | None


class _Ratio(Record):
    """See `facekd.evaluation.groups.result.WorstRatio`."""

    highest: str
    lowest: str
    value: float
    interval: list[float | None]


class GroupsRecord(_Open):
    """See `facekd.evaluation.groups.result.GroupsResult`."""

    threshold: float
    far: str | None
    source: str
    groups: list[_Group]
    worst_fmr: _Ratio | None
    worst_fnmr: _Ratio | None
    notes: list[str]
