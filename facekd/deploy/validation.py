"""Validation of an exported file: its embeddings and its verification accuracy, compared with those of the network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.pairs.pair_set import PairSet, identities_from_folders
from facekd.deploy.source import ExportSource
from facekd.deploy.targets.base import Precision, RuntimeUnavailableError
from facekd.deploy.validation_gate import CosineSummary, Gate, MeasureLayers, check_measurable, summarize_cosines
from facekd.deploy.validation_report import PairVerification, Reference, ValidationReport
from facekd.errors import ExportError, ModelError
from facekd.evaluation.drift.similarities import measure_similarities
from facekd.evaluation.verification.loss import count_impostors, measure_losses
from facekd.evaluation.verification.probability import calibrate
from facekd.evaluation.verification.thresholds import thresholds_at_fars
from facekd.evaluation.verification.verify import pair_features, pair_scores, verify
from facekd.models.embedder import Embedder
from facekd.models.torch_embedder import TorchEmbedder

MIN_FP32_COSINE = 0.9999
"""The cosine to the network that an fp32 file must reach on every image."""
BATCH_SIZES = (1, 2, 7)
LOSS_FARS = ("1e-2", "1e-3", "1e-4")
"""The false accept rates at which losses are measured, besides those of gates."""
NOISE_IMAGES = 14
"""Number of random images, a multiple of every batch size."""


class ExportValidator:
    """Compares exported files with their network, which is measured once.

    Args:
        source: the source of the files.
        crops: uint8 [images, size, size, 3] RGB faces to compare on in addition to random pixels; each file embeds
            them once for each batch size.
        pairs: the pairs to verify; `refuse_overlap` checks them against the calibration crops.
        gates: the limits of the losses on the pairs; without any every loss is accepted.
        original: the model that the network was converted from, which then stands for it in all comparisons.
        against: another model that losses are measured against, e.g. a teacher; the gates are then of these losses.

    Raises:
        DataError: an image of the pairs cannot be used, or all pairs are of one kind.
        ExportError: the pairs are too few for the false accept rate of a gate.
    """

    def __init__(self, source: ExportSource, crops: NDArray[np.uint8] | None = None, pairs: PairSet | None = None,
                 gates: Sequence[Gate] = (), *, original: Embedder | None = None,
                 against: Embedder | None = None) -> None:
        size = source.io_spec.size
        embed = original.forward if original else source.embed
        noise = np.random.default_rng(0).integers(0, 256, (NOISE_IMAGES, size, size, 3), dtype=np.uint8)
        self.noise = (noise, embed(noise))
        self.crops = None if crops is None or len(crops) == 0 else (crops, embed(crops))
        self.pairs = pairs
        self.gates = tuple(gates)
        if pairs is not None:
            check_measurable(gates, count_impostors(pairs), pairs.source.name)
            network = original or _network_embedder(source)
            self.network = _measure_reference(network, pairs, original.name if original else "the float network")
            self.against = _measure_reference(against, pairs, against.name) if against else None
            self.identities = identities_from_folders(pairs)

    def validate(self, file: Path, precision: Precision, open_file: Callable[[], Embedder],
                 measure_layers: MeasureLayers | None = None) -> ValidationReport:
        """Compare one file with the network.

        Args:
            file: the path in messages.
            precision: the precision of the file; only fp32 files must reach `MIN_FP32_COSINE` on every image.
            open_file: opens the file, as `Target.open` does.
            measure_layers: measures the error of each layer for the message if a gate refuses or warns.

        Raises:
            ExportError: the file does not run, gives an embedding of another length or one that is not finite, is fp32
                and too far from its network, or loses more than a gate allows.
            DataError: an image of the pairs cannot be used, or its embedding by the file is zero.
        """
        try:
            embedder = open_file()
            noise_cosines = self._compare(file, precision, embedder, *self.noise)
            crop_cosines = self._compare(file, precision, embedder, *self.crops) if self.crops else {}
            quantiles = measure_similarities(embedder.forward(self.crops[0])) if self.crops else None
            if self.pairs is None:
                return ValidationReport("not measured", noise_cosines, crop_cosines, similarities=quantiles)
            verification = self._verify(embedder, self.pairs)
        except RuntimeUnavailableError as reason:
            return ValidationReport("not run", {}, {}, note=str(reason))
        except ModelError as error:
            raise ExportError(f"{file} was refused: {error}") from error
        if not self.gates:
            return ValidationReport("no gate", noise_cosines, crop_cosines, verification, similarities=quantiles)
        reference = self.against or self.network
        losses = {loss.metric: loss for loss in verification.losses_against or verification.losses}
        warnings = [gate.check(file, losses[gate.metric], reference.name, measure_layers) for gate in self.gates]
        note = "; ".join(warning for warning in warnings if warning)
        return ValidationReport("warned" if note else "passed", noise_cosines, crop_cosines, verification, self.gates,
                                note or None, quantiles)

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
        result = replace(verify(scores, pairs.same, pairs.fold), probability=calibrate(scores, pairs.same, pairs.fold))
        fars = list(dict.fromkeys([*LOSS_FARS, *(gate.far for gate in self.gates if gate.far)]))
        limits, impostor_pairs = thresholds_at_fars(features, self.identities) if self.identities else ({}, 0)
        losses = measure_losses(self.network.features, features, pairs, fars)
        return PairVerification(
            pairs.source.name, self.network.result, result, losses,
            "pairs" if self.identities is None else "identities", limits, impostor_pairs, self.against,
            measure_losses(self.against.features, features, pairs, fars) if self.against else [],
        )


def _measure_reference(embedder: Embedder, pairs: PairSet, name: str) -> Reference:
    features = pair_features(embedder, pairs, flip=False)
    return Reference(name, embedder.fingerprint, features, verify(pair_scores(features, pairs), pairs.same, pairs.fold))


def _network_embedder(source: ExportSource) -> Embedder:
    """Return an embedder of a copy of the network, since `TorchEmbedder` changes the memory layout of its weights."""
    return TorchEmbedder(copy.deepcopy(source.network), source.name)
