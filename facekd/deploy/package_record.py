"""The content of ``metadata.json`` of a package."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from facekd.deploy.targets.base import Precision
from facekd.io.records import Count, FileName, Interval, PositiveCount, Record

NotRun = Literal["not run"]


class _Figures(Record):
    """The figures of a verification; those that no reader uses are not checked."""

    model_config = ConfigDict(extra="allow")

    accuracy: float
    thresholds: dict[str, float | None]


class _Drop(Record):
    """The loss of one figure in percentage points."""

    points: float
    interval: Interval


class _Against(Record):
    """The comparison with another model, e.g. the teacher."""

    name: str
    sha256: str
    result: _Figures
    drop: dict[str, _Drop]


class _Verification(Record):
    """See `facekd.deploy.validation.PairVerification`."""

    pairs_file: str
    network: _Figures
    file: _Figures
    drop: dict[str, _Drop]
    against: _Against | None
    resampled: Literal["identities", "pairs"]
    thresholds: dict[str, float | None]
    impostor_pairs: Count

    @model_validator(mode="after")
    def _check_accuracy(self) -> _Verification:
        if "accuracy" not in self.drop:
            raise ValueError("'drop' lacks the accuracy")
        return self


class _CosineSummary(Record):
    """See `facekd.deploy.validation_gate.CosineSummary`."""

    mean: float
    minimum: float
    images: Count


class _Cosines(Record):
    """Cosines to the network by batch size, on random pixels and on faces."""

    noise: dict[str, _CosineSummary]
    crops: dict[str, _CosineSummary] | None = None

    @model_validator(mode="after")
    def _check_batch_of_one(self) -> _Cosines:
        if any("1" not in cosines for cosines in (self.noise, self.crops or self.noise)):
            raise ValueError("there is no cosine of a batch of 1")
        return self


class _Similarities(Record):
    """See `facekd.evaluation.drift.similarities.Similarities`."""

    images: Count
    pairs: Count
    cosines: dict[str, float]
    lengths: dict[str, float]


class _Validation(Record):
    """See `facekd.deploy.validation.ValidationReport`."""

    status: Literal["passed", "warned", "no gate", "not measured", "not run"]
    gates: list[str]
    note: str | None
    cosine: _Cosines | NotRun
    verification: _Verification | Literal["not measured", "not run"]
    similarities: _Similarities | None = None


class _Latency(Record):
    """See `facekd.deploy.benchmark.latency.Latency`."""

    median_ms: float
    quartiles_ms: Interval
    p95_ms: float
    repeats: Count


class _FileEntry(Record):
    """One file of the package, or several that its runtime needs together."""

    target: str
    precision: Precision
    files: list[FileName] = Field(min_length=1)
    bytes: Count
    versions: dict[str, str]
    notes: list[str]
    validation: _Validation
    latency: _Latency | NotRun
    device_command: str

    @model_validator(mode="after")
    def _check_not_run(self) -> _FileEntry:
        if len({self.latency == "not run", self.validation.cosine == "not run"}) > 1:
            raise ValueError("'latency' and 'cosine' are of a file that was run and of one that was not")
        return self


class _Model(Record):
    """The description of the network; the registry checks the rest."""

    model_config = ConfigDict(extra="allow")

    name: str


class _IoFormat(Record):
    """See `facekd.deploy.source.ExportFormat`."""

    input_dtype: Literal["float", "uint8"]
    l2_normalized: bool


class PackageRecord(Record):
    """The content of ``metadata.json`` without format and version."""

    name: str
    model: _Model
    parameters: Count
    macs: Count
    size: PositiveCount
    dimension: PositiveCount
    io_format: _IoFormat
    preprocessing: str
    files: dict[str, _FileEntry]
    results: dict[str, dict[str, Any]]
    provenance: dict[str, Any]
    sha256: dict[FileName, str]

    @model_validator(mode="after")
    def _check_checksums(self) -> PackageRecord:
        for title, entry in self.files.items():
            for name in entry.files:
                if not any(file == name or file.startswith(f"{name}/") for file in self.sha256):
                    raise ValueError(f"'files.{title}' names {name}, which has no checksum")
        return self
