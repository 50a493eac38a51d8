"""``facekd check``: whether the thresholds of a package still mean their false accept rates on new images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import Unpack

from facekd.api.evaluate.stored_thresholds import StoredVerification, missing_threshold, stored_verifications
from facekd.data.face_set import FaceSet
from facekd.data.opening import open_faces
from facekd.errors import DataError
from facekd.evaluation.agreement.pairs import choose_pairs, similarities
from facekd.evaluation.drift.rates import RateCheck, check_rates
from facekd.evaluation.drift.similarities import Similarities, describe_change, measure_similarities
from facekd.evaluation.embedding.embed import embed_images
from facekd.evaluation.statistics.far import parse_far
from facekd.io import files
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.models.embedder import Embedder
from facekd.models.input_format import InputOptions
from facekd.models.loading import load
from facekd.text import path_text
from facekd.utils.functional import l2_normalize_rows

MAX_PAIRS = 2_000_000
MIN_IMAGES = 50
"""With fewer images no rate of interest can be measured."""
STRANGERS = ("all pairs of the images count as different people; images of one person among them raise the rates: give "
             "one image per person, or folders of people")
ADVICE = ("a threshold that accepts more: first look for images of one person ('facekd group'), then measure it "
          "again on people like these by 'facekd eval verify'; a higher threshold accepts fewer")


@dataclass(frozen=True)
class DriftResult:
    """The result of `check`.

    Attributes:
        images: number of new images.
        pairs: number of pairs that were compared.
        labeled: whether pairs of one person are left out.
        source: the file of the thresholds.
        rates: one entry for each threshold, the highest rate first.
        similarities: quantiles of the new images.
        before: those that the package keeps; None if it keeps none.
    """

    images: int
    pairs: int
    labeled: bool
    source: Path
    rates: tuple[RateCheck, ...]
    similarities: Similarities
    before: Mapping[str, Any] | None

    @property
    def holds(self) -> bool:
        """Whether no threshold was found to have another rate."""
        return all(rate.verdict in ("holds", "too few images") for rate in self.rates)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file."""
        return {"images": self.images, "pairs": self.pairs, "labeled": self.labeled, "source": str(self.source),
                "rates": [rate.to_dict() for rate in self.rates], "similarities": self.similarities.to_dict(),
                "before": dict(self.before) if self.before else None, "holds": self.holds}

    def describe(self) -> str:
        """Format the result as lines for people."""
        lines = [f"{self.images:,} images, {self.pairs:,} pairs; thresholds from {self.source}",
                 *(rate.describe() for rate in self.rates)]
        if self.before:
            lines += describe_change(self.before, self.similarities)
        else:
            lines.append("the model keeps no quantiles of the images that it was exported with, so only its thresholds "
                         "are checked")
        if not self.labeled:
            lines.append(STRANGERS)
        return "\n".join(lines if self.holds else [*lines, ADVICE])


def check(model: Path | str, images: Path | str, *, labels: bool | None = None, root: Path | str | None = None,
          json: Path | str | None = None, device: str = "auto", **options: Unpack[InputOptions]) -> DriftResult:
    """Check whether the thresholds of a model still mean their false accept rates on new images.

    Args:
        model: a package, or any model with thresholds that are kept with it, see
            `facekd.api.evaluate.stored_thresholds`.
        images: new aligned crops, as a face set with or without labels. Without labels all pairs count as different
            people.
        labels: whether subfolders of ``images`` are people, see `facekd.data.opening.open_faces`.
        root: the folder from which the paths of a list of images start.
        json: a result file to write.
        device: device of torch models.
        options: how an ``.onnx`` file is fed, see `facekd.models.input_format.InputOptions`.

    Raises:
        DataError: the images cannot be used or are too few, or no threshold of the model is known.
        ModelError: the model cannot be loaded.
        SetupError: the result cannot be written, or another process writes it.
    """
    if json:
        check_writable(json)
    with lock_output(json):
        embedder = load(model, device, **options)
        stored = _stored(Path(model), embedder)
        faces = open_faces(images, labels=labels, root=root)
        if len(faces) < MIN_IMAGES:
            raise DataError(f"{path_text(faces.path)} holds {len(faces)} images, a rate needs {MIN_IMAGES} or more; "
                            "give more images")
        result = _measure(embedder, faces, stored)
        if json:
            files.write_json(Path(json), {**result.to_dict(), "kind": "check", "model": str(model),
                                          "model_sha256": embedder.fingerprint, "data": str(images)})
    return result


def _stored(model: Path, embedder: Embedder) -> StoredVerification:
    """Return the first verification of a model that holds a threshold."""
    for stored in stored_verifications(model, embedder):
        if any(stored.threshold(far) is not None for far in stored.thresholds):
            return stored
    raise DataError(missing_threshold(model, "1e-3"))


def _measure(embedder: Embedder, faces: FaceSet, stored: StoredVerification) -> DriftResult:
    rows = embed_images(embedder, faces, stored.flip, normalize=False)
    people = faces.labels if faces.is_labeled and len(np.unique(faces.labels)) > 1 else None
    pairs = choose_pairs(len(faces), MAX_PAIRS)
    cosines = similarities(l2_normalize_rows(rows), pairs)
    known = {far: stored.threshold(far) for far in stored.thresholds}
    thresholds = {far: value for far, value in sorted(known.items(), key=lambda item: -parse_far(item[0]))
                  if value is not None}
    measured = measure_similarities(rows, people)
    if measured is None:
        raise DataError(f"{path_text(faces.path)} shows one person only; give images of many people")
    strangers = len(pairs) if people is None else int((people[pairs.first] != people[pairs.second]).sum())
    return DriftResult(len(faces), strangers, people is not None, stored.source,
                       tuple(check_rates(thresholds, cosines, pairs, len(faces), people)), measured,
                       stored.similarities)
