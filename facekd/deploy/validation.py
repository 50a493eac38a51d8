"""The proof of an exported file: how near it is to its network, what it loses on pairs, and whether it may stay."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facekd.data.pairs.pair_set import PairSet, people_of
from facekd.deploy.source import Source
from facekd.deploy.targets.base import NotRunnable, Precision
from facekd.deploy.validation_gate import Cosines, Gate, Layers, cosines, in_points
from facekd.errors import ExportError, ModelError
from facekd.evaluation.identification.comparison import Difference
from facekd.evaluation.protocols import pair_features, pair_scores
from facekd.evaluation.verification.comparison import drawn_together, verification_drop
from facekd.evaluation.verification.thresholds import thresholds
from facekd.evaluation.verification.verify import FARS, VerificationResult, verify
from facekd.models.embedder import Embedder
from facekd.models.torch_embedder import TorchEmbedder

COSINE = 0.9999
"""What an fp32 file must reach on every image."""
BATCHES = (1, 2, 7)
NOISE = 14
"""Random images: whole batches of 1, 2 and 7."""
Standing = Literal["passed", "warned", "no gate", "not measured", "not run"]


@dataclass(frozen=True)
class Verified:
    """A file and its network on the same pairs, each image seen once and not mirrored, as a phone does it.

    Attributes:
        pairs_file: the name of the pair list.
        network: the float network's figures.
        file: the file's.
        drops: accuracy, then TAR at each FAR that can be measured: the network's, the file's, and the paired 95 %
            interval of what is lost.
        drawn: what the interval resamples.
        thresholds: what the file's cosines are compared with at each FAR, see `verification.thresholds`; empty
            where the list does not say who is in it.
        impostors: pairs that the thresholds are from.
    """

    pairs_file: str
    network: VerificationResult
    file: VerificationResult
    drops: list[Difference]
    drawn: Literal["people", "pairs"]
    thresholds: dict[str, float | None]
    impostors: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; drops in percentage points."""
        drops = {}
        for drop in self.drops:
            points, low, high = in_points(drop)
            drops[drop.figure] = {"points": points, "interval": [low, high]}
        return {"pairs_file": self.pairs_file, "network": self.network.to_dict(), "file": self.file.to_dict(),
                "drop": drops, "drawn": self.drawn, "thresholds": self.thresholds, "impostors": self.impostors}


@dataclass(frozen=True)
class Proof:
    """What is known of one exported file; a file that was refused has none.

    Attributes:
        standing: ``passed`` or ``warned`` by the gate; ``no gate``: there was none; ``not measured``: there were no
            pairs, so that no gate was applied; ``not run``: its runtime is not on this machine.
        noise: cosine to the network on random pixels, by batch size; empty where the file was not run.
        crops: likewise on given faces.
        verified: what it loses on pairs.
        max_drop: the gate's, None without one.
        note: the warning, or why the file was not run.
    """

    standing: Standing
    noise: dict[int, Cosines]
    crops: dict[int, Cosines]
    verified: Verified | None = None
    max_drop: float | None = None
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, for ``metadata.json``."""
        cosine = {kind: {str(batch): asdict(found) for batch, found in of.items()}
                  for kind, of in (("noise", self.noise), ("crops", self.crops)) if of}
        verified = self.verified.to_dict() if self.verified else "not run" if self.standing == "not run" else None
        return {"standing": self.standing, "max_drop": self.max_drop, "note": self.note,
                "cosine": cosine or "not run", "verification": verified or "not measured"}


class Prover:
    """Compares files with the network they were made from, which is measured once.

    Args:
        source: what the files were made from.
        crops: uint8 [images, size, size, 3] RGB, faces to compare on besides random pixels; each file sees them once
            a batch size.
        pairs: the pairs to verify on; `refuse_overlap` checks them
            against the calibration crops.
        gate: applied where there are pairs.

    Raises:
        DataError: an image of the pairs cannot be used, or they are not of both kinds.
    """

    def __init__(self, source: Source, crops: NDArray[np.uint8] | None = None, pairs: PairSet | None = None,
                 gate: Gate | None = None) -> None:
        size = source.interface.size
        noise = np.random.default_rng(0).integers(0, 256, (NOISE, size, size, 3), dtype=np.uint8)
        self.noise = noise, source.embed(noise)
        self.crops = None if crops is None or len(crops) == 0 else (crops, source.embed(crops))
        self.interface, self.pairs, self.gate = source.interface, pairs, gate
        if pairs is not None:
            self.scores = pair_scores(pair_features(_float(source), pairs, flip=False), pairs)
            self.network = verify(self.scores, pairs.same, pairs.fold)
            self.people, self.groups = people_of(pairs), drawn_together(pairs)

    def prove(self, file: Path, precision: Precision, opened: Callable[[], Embedder],
              layers: Layers | None = None) -> Proof:
        """Prove one file.

        Args:
            file: what messages call it.
            precision: fp32 files must reach a cosine of 0.9999 on every image; others' are told.
            opened: opens it, as `Target.open` does.
            layers: which layers lose most, told where the gate refuses or warns.

        Raises:
            ExportError: the file does not run, gives an embedding of another length or that is not finite, is fp32
                and too far from its network, or loses more than the gate allows.
            DataError: an image of the pairs cannot be used, or its embedding by the file is zero.
        """
        try:
            embedder = opened()
            noise = self._cosines(file, precision, embedder, *self.noise)
            crops = self._cosines(file, precision, embedder, *self.crops) if self.crops else {}
            if self.pairs is None:
                return Proof("not measured", noise, crops)
            verified = self._verified(embedder, self.pairs)
        except NotRunnable as reason:
            return Proof("not run", {}, {}, note=str(reason))
        except ModelError as error:
            raise ExportError(f"{file} was refused: {error}") from error
        if self.gate is None:
            return Proof("no gate", noise, crops, verified)
        warning = self.gate.judge(file, verified.drops[0], layers)
        return Proof("warned" if warning else "passed", noise, crops, verified, self.gate.max_drop, warning)

    def _cosines(self, file: Path, precision: Precision, embedder: Embedder, images: NDArray[np.uint8],
                 wanted: NDArray[np.float32]) -> dict[int, Cosines]:
        """By batch size, so that a batch frozen into the graph shows."""
        found = {}
        for batch in BATCHES:
            rows = np.concatenate([embedder.forward(images[i : i + batch]) for i in range(0, len(images), batch)])
            if rows.shape != wanted.shape or not np.isfinite(rows).all():
                raise ExportError(
                    f"{file} was refused: at batch {batch} it gives {list(rows.shape)} numbers, some perhaps not "
                    f"finite, where {list(wanted.shape)} finite ones are needed; export it again"
                )
            found[batch] = cosines(rows, wanted)
            if precision == "fp32" and not found[batch].minimum >= COSINE:
                raise ExportError(
                    f"{file} was refused: its cosine to the network falls to {found[batch].minimum:.6f} at batch "
                    f"{batch}, an fp32 file must reach {COSINE}; try another version of its converter"
                )
        return found

    def _verified(self, embedder: Embedder, pairs: PairSet) -> Verified:
        features = pair_features(embedder, pairs, flip=False)
        scores = pair_scores(features, pairs)
        drops = verification_drop(self.scores, scores, pairs.same, pairs.fold, self.groups, FARS)
        limits, impostors = thresholds(features, self.people) if self.people else ({}, 0)
        return Verified(pairs.source.name, self.network, verify(scores, pairs.same, pairs.fold), drops,
                        "pairs" if self.people is None else "people", limits, impostors)


def _float(source: Source) -> Embedder:
    """The network as an embedder; of a copy, since `TorchEmbedder` lays its weights out anew."""
    return TorchEmbedder(copy.deepcopy(source.network), source.name)
