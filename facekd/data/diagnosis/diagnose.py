"""The doctor: what is wrong with face sets, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from facekd.data.diagnosis import checks
from facekd.data.diagnosis.finding import Finding
from facekd.data.diagnosis.scan import Survey, survey
from facekd.data.face_set import FaceSet

_ORDER = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True)
class SetSummary:
    """What a face set holds, in numbers.

    Attributes:
        path: the folder or file.
        images: number of images, unreadable ones included.
        identities: number of labels, those without an image included.
        fewest: images of the identity with the fewest.
        median: images of the middle identity.
        most: images of the identity with the most.
        sizes: number of images of each size, keyed by ``"<width>x<height>"``, most frequent first.
        unreadable: number of images that do not decode.
        redness: mean red minus mean blue in the middle of the images, in grey levels; None if none can be read.
    """

    path: str
    images: int
    identities: int
    fewest: int
    median: float
    most: int
    sizes: dict[str, int]
    unreadable: int
    redness: float | None


@dataclass(frozen=True)
class Diagnosis:
    """The doctor's answer.

    Attributes:
        sets: one summary a face set, in the order given.
        findings: errors first, then warnings, then notes.
    """

    sets: list[SetSummary]
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings are for a person to judge."""
        return all(finding.level != "error" for finding in self.findings)

    def describe(self) -> str:
        """The diagnosis as lines to read: numbers first, then what was found and what to do about it."""
        lines = [
            f"{one.path}: {one.images:,} images of {one.identities:,} people, {one.fewest} to {one.most} each "
            f"(median {one.median:g}), {', '.join(one.sizes)}" for one in self.sets
        ]
        for found in self.findings:
            places = f"\n    where: {found.where}" if found.where else ""
            lines.append(f"{found.level}: {found.what}{places}\n    {found.advice}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The diagnosis in JSON's types."""
        return {"ok": self.ok, **asdict(self)}


def examine(sets: Sequence[FaceSet], size: int | None = None, few: int = 2) -> Diagnosis:
    """Read every image of some face sets and say what is wrong with them, alone and side by side.

    Duplicates are images with the same encoded bytes; the same picture encoded twice is not found. Names made of
    digits only are numbers, not names, and are never compared.

    Args:
        sets: the face sets; give training and test sets together to learn what they share.
        size: the side in pixels the crops should have; None accepts any.
        few: an identity with fewer images than this is reported as near-empty.
    """
    seen = [survey(faces) for faces in sets]
    findings = [finding for one in seen for finding in _alone(one, size, few)]
    findings += [finding for one, other in combinations(seen, 2) for finding in checks.between(one, other)]
    return Diagnosis([_summary(one) for one in seen], ranked(findings))


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first, then warnings, then notes; otherwise in the order given."""
    return sorted(findings, key=lambda finding: _ORDER[finding.level])


def _alone(seen: Survey, size: int | None, few: int) -> list[Finding]:
    found = [finding for check in checks.SINGLE for finding in check(seen)]
    return [*found, *checks.near_empty(seen, few), *checks.sizes(seen, size)]


def _summary(seen: Survey) -> SetSummary:
    faces = seen.faces
    each = np.bincount(faces.labels, minlength=faces.identities)
    readable = np.flatnonzero(seen.sizes[:, 0])
    kinds, counts = np.unique(seen.sizes[readable], axis=0, return_counts=True)
    frequent = np.argsort(-counts, kind="stable").tolist()
    tones = seen.tones[readable].mean(0, np.float64) if len(readable) else None
    return SetSummary(
        path=str(faces.path),
        images=len(faces),
        identities=faces.identities,
        fewest=int(each.min()),
        median=float(np.median(each)),
        most=int(each.max()),
        sizes={f"{kinds[i][1]}x{kinds[i][0]}": int(counts[i]) for i in frequent},
        unreadable=seen.unreadable,
        redness=None if tones is None else float(tones[0] - tones[2]),
    )
