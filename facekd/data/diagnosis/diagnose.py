"""Diagnose face sets: run all checks and summarize each set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from facekd.data.diagnosis import checks
from facekd.data.diagnosis.finding import Finding
from facekd.data.diagnosis.label_checks import check_near_empty
from facekd.data.diagnosis.scan import ImageScan, scan_images
from facekd.data.face_set import FaceSet
from facekd.text import path_text, printable

_SEVERITY = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True)
class SetSummary:
    """The content of a face set in numbers.

    Attributes:
        path: the folder or file.
        images: the number of images, including unreadable images.
        is_labeled: whether the set has labels; without them the next four are 0.
        identities: the number of identities, including identities without an image.
        fewest: the smallest number of images of an identity.
        median: the median number of images of an identity.
        most: the largest number of images of an identity.
        sizes: the number of images of each size, by ``"<width>x<height>"``, most frequent first.
        unreadable: the number of images that do not decode.
        unreadable_images: the place of each of them and why it does not decode; at most 10,000.
        redness: mean red minus mean blue in the center of the images, in gray levels; None if no image can be read.
    """

    path: str
    images: int
    is_labeled: bool
    identities: int
    fewest: int
    median: float
    most: int
    sizes: dict[str, int]
    unreadable: int
    unreadable_images: list[str]
    redness: float | None

    def describe(self) -> str:
        """Return the numbers in one line."""
        people = ", unlabeled"
        if self.is_labeled:
            people = f" of {self.identities:,} people, {self.fewest} to {self.most} each (median {self.median:g})"
        return f"{path_text(self.path)}: {self.images:,} images{people}, {', '.join(self.sizes)}"


@dataclass(frozen=True)
class Diagnosis:
    """The result of `diagnose`.

    Attributes:
        sets: one summary per face set, in the given order.
        findings: errors first, then warnings, then notes.
    """

    sets: list[SetSummary]
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings are for a person to judge."""
        return all(finding.level != "error" for finding in self.findings)

    def describe(self) -> str:
        """Return the diagnosis as text: numbers first, then the findings with advice."""
        lines = [summary.describe() for summary in self.sets]
        for finding in self.findings:
            examples = f"\n    examples: {printable(finding.examples)}" if finding.examples else ""
            lines.append(f"{finding.level}: {printable(finding.message)}{examples}\n    {printable(finding.advice)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis in JSON types."""
        return {"ok": self.ok, **asdict(self)}


def diagnose(sets: Sequence[FaceSet], size: int | None = None, min_images: int = 2) -> Diagnosis:
    """Read every image of some face sets and report their problems, for each set and for each pair of sets.

    Duplicates are images with the same encoded bytes; an image that was encoded twice is not detected. Names that
    consist of digits are numbers and are never compared.

    Args:
        sets: the face sets; training and test sets given together are checked for shared people and images.
        size: the required side of the crops in pixels; None accepts any size.
        min_images: identities with fewer images than this are reported as near-empty.
    """
    scans = [scan_images(faces) for faces in sets]
    findings: list[Finding] = []
    for scan in scans:
        for check in checks.SINGLE_SET_CHECKS:
            findings += check(scan)
        findings += check_near_empty(scan, min_images)
        findings += checks.check_sizes(scan, size)
    for first, second in combinations(scans, 2):
        findings += checks.compare_sets(first, second)
    return Diagnosis([_summarize(scan) for scan in scans], sort_by_severity(findings))


def sort_by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Sort errors first, then warnings, then notes; the order is otherwise preserved."""
    return sorted(findings, key=lambda finding: _SEVERITY[finding.level])


def _summarize(scan: ImageScan) -> SetSummary:
    faces = scan.face_set
    per_identity = scan.images_per_identity() if faces.is_labeled else np.zeros(1, np.int64)
    readable = np.flatnonzero(scan.sizes[:, 0])
    sizes, counts = np.unique(scan.sizes[readable], axis=0, return_counts=True)
    by_frequency = np.argsort(-counts, kind="stable").tolist()
    tones = scan.tones[readable].mean(0, np.float64) if len(readable) else None
    return SetSummary(
        path=str(faces.path),
        images=len(faces),
        is_labeled=faces.is_labeled,
        identities=faces.num_identities if faces.is_labeled else 0,
        fewest=int(per_identity.min()),
        median=float(np.median(per_identity)),
        most=int(per_identity.max()),
        sizes={f"{sizes[i][1]}x{sizes[i][0]}": int(counts[i]) for i in by_frequency},
        unreadable=scan.unreadable,
        unreadable_images=scan.reasons,
        redness=None if tones is None else float(tones[0] - tones[2]),
    )
