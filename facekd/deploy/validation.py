"""Validation of an exported file: its embeddings and its verification accuracy, compared with those of the network."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facekd.data.pairs.pair_set import PairSet, identities_from_folders
from facekd.deploy.source import ExportSource
from facekd.deploy.targets.base import Precision, RuntimeUnavailableError
from facekd.deploy.validation_gate import (
    AccuracyGate,
    CosineSummary,
    MeasureLayers,
    summarize_cosines,
    to_percentage_points,
)
from facekd.errors import ExportError, ModelError
from facekd.evaluation.statistics.difference import Difference
from facekd.evaluation.verification.comparison import compare_verification, resampling_groups
from facekd.evaluation.verification.result import VerificationResult
from facekd.evaluation.verification.thresholds import thresholds_at_fars
from facekd.evaluation.verification.verify import FARS, pair_features, pair_scores, verify
from facekd.models.embedder import Embedder
from facekd.models.torch_embedder import TorchEmbedder

MIN_FP32_COSINE = 0.9999
"""The cosine to the network that an fp32 file must reach on every image."""
BATCH_SIZES = (1, 2, 7)
NOISE_IMAGES = 14
"""Number of random images, a multiple of every batch size."""
Status = Literal["passed", "warned", "no gate", "not measured", "not run"]


@dataclass(frozen=True)
class PairVerification:
    """Verification by a file and by its network on the same pairs, one view of each image, as on a phone.

    Attributes:
        pairs_file: the name of the pair list.
        network: the result of the float network.
        file: the result of the file.
        drops: accuracy, then TAR at each FAR that can be measured: the value of the network, that of the file, and the
            paired 95 % interval of the loss.
        resampled: the unit that the bootstrap of the interval resamples.
        thresholds: cosine thresholds of the file by FAR, see `verification.thresholds`; empty if the list does not
            name identities.
        impostor_pairs: number of pairs that the thresholds are set on.
    """

    pairs_file: str
    network: VerificationResult
    file: VerificationResult
    drops: list[Difference]
    resampled: Literal["identities", "pairs"]
    thresholds: dict[str, float | None]
    impostor_pairs: int

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record; drops are in percentage points."""
        drops = {}
        for drop in self.drops:
            points, low, high = to_percentage_points(drop)
            drops[drop.metric] = {"points": points, "interval": [low, high]}
        return {
            "pairs_file": self.pairs_file, "network": self.network.to_dict(), "file": self.file.to_dict(),
            "drop": drops, "resampled": self.resampled, "thresholds": self.thresholds,
            "impostor_pairs": self.impostor_pairs,
        }


@dataclass(frozen=True)
class ValidationReport:
    """The comparison of one exported file with its network; a refused file has none.

    Attributes:
        status: ``passed`` or ``warned`` by the gate; ``no gate``: the file was verified without a gate;
            ``not measured``: there were no pairs; ``not run``: the runtime does not exist on this machine.
        noise_cosines: cosine to the network on random pixels, by batch size; empty if the file was not run.
        crop_cosines: cosine to the network on faces, by batch size; empty without faces or if the file was not run.
        verification: the comparison on pairs; None without pairs or if the file was not run.
        max_drop: the limit of the gate; None without a gate.
        note: the warning of the gate, or the reason why the file was not run.
    """

    status: Status
    noise_cosines: dict[int, CosineSummary]
    crop_cosines: dict[int, CosineSummary]
    verification: PairVerification | None = None
    max_drop: float | None = None
    note: str | None = None

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
        return {"status": self.status, "max_drop": self.max_drop, "note": self.note, "cosine": cosine or "not run",
                "verification": verification}


class ExportValidator:
    """Compares exported files with their network, which is measured once.

    Args:
        source: the source of the files.
        crops: uint8 [images, size, size, 3] RGB faces to compare on in addition to random pixels; each file embeds
            them once for each batch size.
        pairs: the pairs to verify; `refuse_overlap` checks them against the calibration crops.
        gate: the limit of the loss on the pairs; None accepts every loss.

    Raises:
        DataError: an image of the pairs cannot be used, or all pairs are of one kind.
    """

    def __init__(self, source: ExportSource, crops: NDArray[np.uint8] | None = None, pairs: PairSet | None = None,
                 gate: AccuracyGate | None = None) -> None:
        size = source.io_spec.size
        noise = np.random.default_rng(0).integers(0, 256, (NOISE_IMAGES, size, size, 3), dtype=np.uint8)
        self.noise = (noise, source.embed(noise))
        self.crops = None if crops is None or len(crops) == 0 else (crops, source.embed(crops))
        self.pairs = pairs
        self.gate = gate
        if pairs is not None:
            self.scores = pair_scores(pair_features(_network_embedder(source), pairs, flip=False), pairs)
            self.network_result = verify(self.scores, pairs.same, pairs.fold)
            self.identities = identities_from_folders(pairs)
            self.groups = resampling_groups(pairs)

    def validate(self, file: Path, precision: Precision, open_file: Callable[[], Embedder],
                 measure_layers: MeasureLayers | None = None) -> ValidationReport:
        """Compare one file with the network.

        Args:
            file: the path in messages.
            precision: the precision of the file; only fp32 files must reach `MIN_FP32_COSINE` on every image.
            open_file: opens the file, as `Target.open` does.
            measure_layers: measures the error of each layer for the message if the gate refuses or warns.

        Raises:
            ExportError: the file does not run, gives an embedding of another length or one that is not finite, is fp32
                and too far from its network, or loses more than the gate allows.
            DataError: an image of the pairs cannot be used, or its embedding by the file is zero.
        """
        try:
            embedder = open_file()
            noise_cosines = self._compare(file, precision, embedder, *self.noise)
            crop_cosines = self._compare(file, precision, embedder, *self.crops) if self.crops else {}
            if self.pairs is None:
                return ValidationReport("not measured", noise_cosines, crop_cosines)
            verification = self._verify(embedder, self.pairs)
        except RuntimeUnavailableError as reason:
            return ValidationReport("not run", {}, {}, note=str(reason))
        except ModelError as error:
            raise ExportError(f"{file} was refused: {error}") from error
        if self.gate is None:
            return ValidationReport("no gate", noise_cosines, crop_cosines, verification)
        warning = self.gate.check(file, verification.drops[0], measure_layers)
        status: Status = "warned" if warning else "passed"
        return ValidationReport(status, noise_cosines, crop_cosines, verification, self.gate.max_drop, warning)

    def _compare(self, file: Path, precision: Precision, embedder: Embedder, images: NDArray[np.uint8],
                 expected: NDArray[np.float32]) -> dict[int, CosineSummary]:
        """Compare embeddings at every batch size, so that a batch size frozen into the graph shows."""
        summaries = {}
        for size in BATCH_SIZES:
            rows = np.concatenate([embedder.forward(images[i : i + size]) for i in range(0, len(images), size)])
            if rows.shape != expected.shape or not np.isfinite(rows).all():
                raise ExportError(
                    f"{file} was refused: at batch {size} it gives {list(rows.shape)} numbers, some perhaps not "
                    f"finite, where {list(expected.shape)} finite ones are needed; export it again"
                )
            summaries[size] = summarize_cosines(rows, expected)
            if precision == "fp32" and not summaries[size].minimum >= MIN_FP32_COSINE:
                raise ExportError(
                    f"{file} was refused: its cosine to the network falls to {summaries[size].minimum:.6f} at batch "
                    f"{size}, an fp32 file must reach {MIN_FP32_COSINE}; try another version of its converter"
                )
        return summaries

    def _verify(self, embedder: Embedder, pairs: PairSet) -> PairVerification:
        features = pair_features(embedder, pairs, flip=False)
        scores = pair_scores(features, pairs)
        drops = compare_verification(self.scores, scores, pairs.same, pairs.fold, self.groups, fars=FARS)
        limits, impostor_pairs = thresholds_at_fars(features, self.identities) if self.identities else ({}, 0)
        return PairVerification(
            pairs.source.name, self.network_result, verify(scores, pairs.same, pairs.fold), drops,
            "pairs" if self.identities is None else "identities", limits, impostor_pairs,
        )


def _network_embedder(source: ExportSource) -> Embedder:
    """Return an embedder of a copy of the network, since `TorchEmbedder` changes the memory layout of its weights."""
    return TorchEmbedder(copy.deepcopy(source.network), source.name)
