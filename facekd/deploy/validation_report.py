"""What a validation found out about one exported file, and its record in ``metadata.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from facekd.deploy.validation_gate import CosineSummary, Gate
from facekd.evaluation.drift.similarities import Similarities
from facekd.evaluation.types import FloatArray
from facekd.evaluation.verification.loss import Loss
from facekd.evaluation.verification.result import VerificationResult

Status = Literal["passed", "warned", "no gate", "not measured", "not run"]


@dataclass(frozen=True)
class Reference:
    """A model that files are compared with on the pairs.

    Attributes:
        name: its name in messages.
        fingerprint: the SHA-256 of its files; empty for the network itself.
        features: float64 [images, dimension], the distinct images of the pairs, rows of unit length.
        result: its verification of the pairs.
    """

    name: str
    fingerprint: str
    features: FloatArray
    result: VerificationResult


@dataclass(frozen=True)
class PairVerification:
    """Verification by a file and by its network on the same pairs, one view of each image, as on a phone.

    Attributes:
        pairs_file: the name of the pair list.
        network: the result of the float network.
        file: the result of the file.
        losses: what the file loses against the network, see `measure_losses`.
        resampled: the unit that the bootstrap of the intervals resamples.
        thresholds: cosine thresholds of the file by FAR, see `verification.thresholds`; empty if the list does not
            name identities.
        impostor_pairs: number of pairs that the thresholds are set on.
        against: another model that the file is compared with; None if there is none.
        losses_against: what the file loses against that model.
    """

    pairs_file: str
    network: VerificationResult
    file: VerificationResult
    losses: list[Loss]
    resampled: Literal["identities", "pairs"]
    thresholds: dict[str, float | None]
    impostor_pairs: int
    against: Reference | None = None
    losses_against: list[Loss] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record; drops are in percentage points."""
        against = None
        if self.against is not None:
            against = {"name": self.against.name, "sha256": self.against.fingerprint,
                       "result": self.against.result.to_dict(), "drop": _drops(self.losses_against)}
        return {
            "pairs_file": self.pairs_file, "network": self.network.to_dict(), "file": self.file.to_dict(),
            "drop": _drops(self.losses), "against": against, "resampled": self.resampled,
            "thresholds": self.thresholds, "impostor_pairs": self.impostor_pairs,
        }


def _drops(losses: Sequence[Loss]) -> dict[str, Any]:
    return {loss.metric: {"points": loss.points, "interval": list(loss.interval)} for loss in losses}


@dataclass(frozen=True)
class ValidationReport:
    """The comparison of one exported file with its network; a refused file has none.

    Attributes:
        status: ``passed`` or ``warned`` by the gates; ``no gate``: the file was verified without a gate;
            ``not measured``: there were no pairs; ``not run``: the runtime does not exist on this machine.
        noise_cosines: cosine to the network on random pixels, by batch size; empty if the file was not run.
        crop_cosines: cosine to the network on faces, by batch size; empty without faces or if the file was not run.
        verification: the comparison on pairs; None without pairs or if the file was not run.
        gates: the gates that the file met.
        note: the warnings of the gates, or the reason why the file was not run.
        similarities: quantiles of the file's embeddings of the faces, for `facekd.api.deploy.check`; None without faces
            or if the file was not run.
    """

    status: Status
    noise_cosines: dict[int, CosineSummary]
    crop_cosines: dict[int, CosineSummary]
    verification: PairVerification | None = None
    gates: tuple[Gate, ...] = ()
    note: str | None = None
    similarities: Similarities | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record for ``metadata.json``."""
        cosine = {
            images: {str(batch_size): asdict(summary) for batch_size, summary in summaries.items()}
            for images, summaries in (("noise", self.noise_cosines), ("crops", self.crop_cosines)) if summaries
        }
        verification: dict[str, Any] | str = "not measured"
        if self.verification is not None:
            verification = self.verification.to_dict()
        elif self.status == "not run":
            verification = "not run"
        return {"status": self.status, "gates": [str(gate) for gate in self.gates], "note": self.note,
                "cosine": cosine or "not run", "verification": verification,
                "similarities": self.similarities.to_dict() if self.similarities else None}
