"""The result of an agreement: its figures, the fields of its JSON file, and lines for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from facekd.evaluation.statistics.estimate import Estimate
from facekd.evaluation.statistics.far import format_percent


@dataclass(frozen=True)
class Cosines:
    """Cosine of the student's and the teacher's embedding of one image, over the images."""

    mean: Estimate
    median: Estimate
    percentile1: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record."""
        return {name: getattr(self, name).to_dict() for name in ("mean", "median", "percentile1")}


@dataclass(frozen=True)
class Decisions:
    """The decisions of both models on the pairs, at one threshold of the teacher; rates are fractions.

    Attributes:
        threshold: the similarity above which both models accept a pair.
        far: the false accept rate of the threshold as text; None if it is not known.
        source: where the threshold comes from, in words.
        differ: share of the pairs that the models decide differently.
        kept: share of the pairs accepted by the teacher that the student accepts as well; None if there are none.
        teacher_accepts: number of pairs that the teacher accepts.
        student_accepts: number of pairs that the student accepts.
        student_threshold: the student's own threshold, which accepts as many pairs as the teacher.
        kept_at_own: ``kept`` where the student decides at its own threshold.
    """

    threshold: float
    far: str | None
    source: str
    differ: Estimate
    kept: Estimate | None
    teacher_accepts: int
    student_accepts: int
    student_threshold: float
    kept_at_own: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record."""
        return {**asdict(self), "differ": self.differ.to_dict(), "kept": self.kept.to_dict() if self.kept else None}

    def describe(self) -> str:
        """Format the decisions as a line."""
        rate = f" (FAR {self.far})" if self.far else ""
        line = (f"at the teacher's threshold {self.threshold:.3f}{rate}, {self.source}: "
                f"{100 * self.differ.value:.4f} % [{100 * self.differ.interval[0]:.4f}, "
                f"{100 * self.differ.interval[1]:.4f}] of the pairs decided differently; the teacher accepts "
                f"{self.teacher_accepts:,} pairs, the student {self.student_accepts:,}{self._ratio()}")
        if self.kept is None or self.kept_at_own is None:
            return line
        return (f"{line}; of the teacher's pairs the student keeps "
                f"{format_percent(self.kept.value, self.kept.interval)}, at its own threshold "
                f"{self.student_threshold:.3f} {format_percent(self.kept_at_own, None)}")


    def _ratio(self) -> str:
        return f" ({self.student_accepts / self.teacher_accepts:.2f} times as many)" if self.teacher_accepts else ""


@dataclass(frozen=True)
class AgreementResult:
    """The result of `measure_agreement`.

    Attributes:
        images: number of images.
        pairs: number of pairs that were compared.
        all_pairs: whether these are all pairs of the images.
        cosine: cosines of student and teacher; None if their embeddings differ in length.
        rank_correlation: Spearman's correlation of the similarities of the pairs.
        decisions: one entry for each threshold of the teacher.
        worst: index of the images on which the models differ most, the worst first, with their figure: the cosine, or
            without one the mean shift of the relative ranks of the image's pairs.
        notes: sentences that a reader of the figures needs.
    """

    images: int
    pairs: int
    all_pairs: bool
    cosine: Cosines | None
    rank_correlation: Estimate
    decisions: tuple[Decisions, ...]
    worst: tuple[tuple[int, float], ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file; the worst images are added by name."""
        return {
            "images": self.images, "pairs": self.pairs, "all_pairs": self.all_pairs,
            "cosine": self.cosine.to_dict() if self.cosine else None,
            "rank_correlation": self.rank_correlation.to_dict(),
            "decisions": [decisions.to_dict() for decisions in self.decisions], "notes": list(self.notes),
        }

    def describe(self) -> str:
        """Format the result as lines for people."""
        chosen = "all" if self.all_pairs else "random"
        lines = []
        if self.cosine:
            lines.append(f"cosine to the teacher: mean {self.cosine.mean.describe()}, median "
                         f"{self.cosine.median.describe()}, lowest 1 % below {self.cosine.percentile1.describe()}; "
                         f"{self.images:,} images")
        lines += [f"rank correlation of the similarities {self.rank_correlation.describe()}; {self.pairs:,} {chosen} "
                  "pairs", *(decisions.describe() for decisions in self.decisions), *self.notes]
        return "\n".join(lines)
