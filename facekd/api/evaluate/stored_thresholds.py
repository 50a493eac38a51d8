"""The verification results that are kept with a model: its thresholds by false accept rate, from wherever they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facekd.api.evaluate.results import kept_results
from facekd.deploy.package import read_package
from facekd.errors import DataError
from facekd.evaluation.statistics.far import parse_far
from facekd.evaluation.verification.probability import probability_of
from facekd.io.documents import read_json
from facekd.io.reading import reading
from facekd.models.embedder import Embedder
from facekd.text import path_text

REMEDY = "measure it again"


@dataclass(frozen=True)
class StoredVerification:
    """A verification of a model.

    Attributes:
        source: the file.
        flip: whether the embeddings of image and mirror image were added.
        content: the fields of `facekd.evaluation.verification.result.VerificationResult.to_dict`.
        thresholds: thresholds by FAR as text; where they were measured, those of all impostor pairs of the images.
            Where its genuine pairs alone tell the people apart, the thresholds of the list itself go first.
        similarities: the fields of `facekd.evaluation.drift.similarities.Similarities` that a package keeps, or None.
    """

    source: Path
    flip: bool
    content: Mapping[str, Any]
    thresholds: Mapping[str, Any]
    similarities: Mapping[str, Any] | None = None

    def threshold(self, far: str) -> float | None:
        """Return the threshold at a false accept rate; None if it was not measured.

        Raises:
            DataError: the file is damaged.
        """
        rate = parse_far(far)
        with reading(self.source, remedy=REMEDY):
            for measured_far, value in self.thresholds.items():
                if value is not None and parse_far(measured_far) == rate and math.isfinite(float(value)):
                    return float(value)
        return None

    def probability(self, cosine: float, prior: float) -> float | None:
        """Return the probability that a pair shows one person; None without a calibration.

        Raises:
            DataError: the file is damaged.
        """
        with reading(self.source, remedy=REMEDY):
            calibration = self.content.get("probability")
            return probability_of(cosine, calibration, prior) if calibration is not None else None


def stored_verifications(model: Path, embedder: Embedder, result: Path | None = None) -> Iterator[StoredVerification]:
    """Yield the verifications of a model, the one that the user names first.

    The others are those of a package, of a run, or of the folder ``MODEL.onnx.results`` beside a model that is one
    file. Those of other weights, or of a model that was fed in another way, are left out.

    Args:
        model: the path of the model as the user gave it.
        embedder: the loaded model.
        result: a result file of `facekd.api.evaluate.verify.verify`, or None.

    Raises:
        DataError: ``result`` is no verification result of this model, or a file is damaged.
        ExportError: the package is damaged.
    """
    if result is not None:
        content = read_json(result)
        if content.get("kind") != "verify" or content.get("model_sha256") != embedder.fingerprint:
            raise DataError(f"{path_text(result)} is no verification result of this model, fed in this way; make it by "
                            f"'facekd eval verify --model {path_text(model)} --json FILE'")
        yield _of_result(result, content)
    package = model if model.is_dir() else model.parent
    if (package / "metadata.json").is_file():
        yield from _of_package(package, embedder)
    else:
        for file in sorted(kept_results(model).glob("verify-*.json")):
            content = read_json(file)
            if content.get("model_sha256", embedder.fingerprint) == embedder.fingerprint:
                yield _of_result(file, content)


def find_threshold(model: Path, embedder: Embedder, far: str, result: Path | None = None
                   ) -> tuple[float, StoredVerification] | None:
    """Return the first threshold at a false accept rate, and its verification; None if there is none.

    Raises:
        DataError: see `stored_verifications`.
        ExportError: the package is damaged.
    """
    for verification in stored_verifications(model, embedder, result):
        value = verification.threshold(far)
        if value is not None:
            return value, verification
    return None


def missing_threshold(model: Path, far: str) -> str:
    """Return what to do if no threshold at a false accept rate is known."""
    if (model / "metadata.json").is_file():
        return f"the package holds no threshold at FAR {far}; export it with --pairs, or give --threshold"
    return (f"no verification result of this model holds a threshold at FAR {far}; run 'facekd eval verify "
            f"--model {path_text(model)}' on a list with enough images, or give --threshold")


def _of_result(file: Path, content: Mapping[str, Any]) -> StoredVerification:
    with reading(file, remedy=REMEDY):
        thresholds = {**content.get("thresholds", {})}
        found = content.get("all_impostors") or {}
        of_all = found.get("thresholds") or {}
        preferred = _prefer(thresholds, of_all) if found.get("identities") == "pairs" else _prefer(of_all, thresholds)
        return StoredVerification(file, content.get("flip", True) is True, content, preferred)


def _of_package(folder: Path, embedder: Embedder) -> Iterator[StoredVerification]:
    """Yield the verification of the file of a package that is loaded; a package measures one view of each image."""
    metadata = read_package(folder).metadata
    file = folder / "metadata.json"
    with reading(file, remedy="export it again"):
        for entry in metadata["files"].values():
            verification = entry["validation"]["verification"]
            if metadata["sha256"].get(entry["files"][0]) == embedder.fingerprint and isinstance(verification, Mapping):
                of_list = verification["file"]["thresholds"]
                yield StoredVerification(file, False, verification["file"],
                                         _prefer(verification["thresholds"], of_list),
                                         entry["validation"].get("similarities"))


def _prefer(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first thresholds, and those of the second at other rates."""
    known = {far: value for far, value in first.items() if value is not None}
    return {**known, **{far: value for far, value in second.items() if far not in known}}
