"""``facekd compare``: whether two photographs show the same person."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from facekd.api.evaluate.stored_thresholds import find_threshold, missing_threshold
from facekd.data.alignment.detector import Detector
from facekd.data.alignment.detector_file import find_detector, open_detector
from facekd.data.alignment.landmarks import warp_face
from facekd.data.transforms import decode, decode_crop
from facekd.errors import DataError
from facekd.evaluation.verification.probability import PRIOR
from facekd.io.reading import read_bytes
from facekd.models.embedder import Embedder
from facekd.models.input_format import InputOptions
from facekd.models.loading import load
from facekd.text import path_text, shorten

DEFAULT_FAR = "1e-2"


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`.

    Attributes:
        similarity: cosine of the two embeddings, -1 to 1.
        threshold: similarity above which two faces count as the same person; None if none is known.
        far: the false accept rate at which the threshold was measured, as text; None for a given threshold.
        source: the origin of the threshold.
        probability: probability that both photographs show one person, from the calibration of the same verification;
            None if there is none.
        prior: the probability before the photographs are compared, to which ``probability`` belongs.
    """

    similarity: float
    threshold: float | None
    far: str | None
    source: str
    probability: float | None = None
    prior: float = PRIOR

    @property
    def same_person(self) -> bool | None:
        """Whether both photographs show the same person at that threshold; None without a threshold."""
        return None if self.threshold is None else self.similarity > self.threshold

    def describe(self) -> str:
        """Format the result as lines for people."""
        lines = [f"similarity {self.similarity:.3f}"]
        if self.probability is not None:
            prior = "equal priors" if self.prior == PRIOR else f"a prior of {self.prior:g}"
            lines[0] += f", probability {_format_probability(self.probability)} of one person at {prior}"
        if self.threshold is None:
            return "\n".join([*lines, f"no verdict: {self.source}"])
        basis = f"at FAR {self.far}, from {self.source}" if self.far else "as given"
        verdict = "the same person" if self.same_person else "different people"
        return "\n".join([*lines, f"{verdict} (threshold {self.threshold:.3f} {basis})"])


def _format_probability(value: float) -> str:
    """Format a probability with three decimals, which never says 0 or 1."""
    if value < 0.001:
        return "below 0.001"
    return "above 0.999" if value > 0.999 else f"{value:.3f}"


def compare(first: Path | str, second: Path | str, model: Path | str, *, detector: Path | str | None = None,
            far: str | None = None, threshold: float | None = None, result: Path | str | None = None,
            aligned: bool = False, prior: float | None = None, **options: Unpack[InputOptions]) -> Comparison:
    """Compare the faces in two photographs.

    Args:
        first: a photograph; its largest face is used.
        second: another photograph.
        model: the model, see `facekd.models.loading.load`.
        detector: YuNet or SCRFD as ONNX; default ``$FACEKD_DETECTOR``.
        far: false accept rate, by default 1e-2. Its threshold is read from ``result``, from the verification results
            of a run, from the metadata of a package, or from the results that are kept beside a model file.
        threshold: similarity threshold in place of that of ``far``.
        result: a result file of `facekd.api.evaluate.verify.verify` with this model.
        aligned: whether the images are aligned crops already, for which no detector is needed.
        prior: how often two photographs show one person where they come from, for the probability; default 0.5.
        options: how an ``.onnx`` file is fed, see `facekd.models.input_format.InputOptions`.

    Raises:
        DataError: an image does not decode, shows no face, or is an aligned crop that is not square; an argument has no
            effect or is not valid.
        ModelError: the model cannot be loaded.
        SetupError: there is no detector.
    """
    _check_arguments(far, threshold, result, aligned, detector, prior)
    embedder = load(model, **options)
    far, path = far or DEFAULT_FAR, Path(model)
    found = None if threshold is not None else find_threshold(path, embedder, far, Path(result) if result else None)
    if prior is not None and (found is None or found[1].content.get("probability") is None):
        raise DataError(f"--prior has no effect: no calibration of {path_text(path)} is known; run 'facekd eval verify "
                        f"--model {path_text(path)}' on a list with 20 or more pairs of each kind, or leave it out")
    face_detector = None if aligned else open_detector(find_detector(detector))
    crops = np.stack([_read_crop(Path(photo), embedder, face_detector) for photo in (first, second)])
    embeddings = embedder.embed(crops, flip=found is None or found[1].flip).astype(np.float64)
    similarity = float(embeddings[0] @ embeddings[1])
    if threshold is not None:
        return Comparison(similarity, threshold, None, "given")
    if found is None:
        return Comparison(similarity, None, None, missing_threshold(path, far))
    measured, verification = found
    probability = verification.probability(similarity, prior or PRIOR)
    return Comparison(similarity, measured, far, str(verification.source), probability, prior or PRIOR)


def _check_arguments(far: str | None, threshold: float | None, result: Path | str | None, aligned: bool,
                     detector: Path | str | None, prior: float | None) -> None:
    if threshold is not None and not math.isfinite(threshold):
        raise DataError(f"--threshold {threshold} is no similarity; give a number between -1 and 1")
    if threshold is not None and (far is not None or result is not None):
        raise DataError("--threshold replaces the threshold of --far and --result; give one or the other")
    if far is not None and _rate(far) is None:
        raise DataError(f"--far {shorten(far)} is no false accept rate; give a number above 0 and below 1, e.g. 1e-3")
    if prior is not None and threshold is not None:
        raise DataError("--prior has no effect beside --threshold; leave one of the two out")
    if prior is not None and not 0 < prior < 1:
        raise DataError(f"--prior {prior:g} is no probability; give a number above 0 and below 1, e.g. 0.5")
    if aligned and detector:
        raise DataError("--aligned crops need no --detector; leave one of the two out")


def _rate(text: object) -> float | None:
    """Return a false accept rate; None if the text is none."""
    try:
        rate = float(str(text))
    except ValueError:
        return None
    return rate if 0 < rate < 1 else None


def _read_crop(path: Path, embedder: Embedder, detector: Detector | None) -> NDArray[np.uint8]:
    if not path.is_file():
        raise DataError(f"{path_text(path)} does not exist; check the path")
    data = read_bytes(path)
    if detector is None:
        return decode_crop(data, embedder.size, str(path))
    image = decode(data, str(path))
    faces = detector(image)
    if not faces:
        raise DataError(f"{path_text(path)}: no face was found; use a larger or sharper picture, or --aligned for a "
                        "crop")
    return warp_face(image, faces[0].landmarks, embedder.size)
