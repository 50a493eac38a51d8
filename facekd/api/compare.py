"""``facekd compare``: whether two photographs show the same person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.alignment.detector import Detector, find_detector, open_detector
from facekd.data.alignment.landmarks import warp_face
from facekd.data.transforms import decode, decode_crop
from facekd.errors import DataError
from facekd.models.embedder import Embedder
from facekd.models.loading import load
from facekd.run import Run
from facekd.utils.documents import read_json


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`.

    Attributes:
        similarity: cosine of the two embeddings, -1 to 1.
        threshold: similarity above which two faces count as the same person; None if none is known.
        far: the false accept rate at which the threshold was measured, as text; None for a given threshold.
        source: the origin of the threshold.
    """

    similarity: float
    threshold: float | None
    far: str | None
    source: str

    @property
    def same_person(self) -> bool | None:
        """Whether both photographs show the same person at that threshold; None without a threshold."""
        return None if self.threshold is None else self.similarity > self.threshold


def compare(first: Path | str, second: Path | str, model: Path | str, *, detector: Path | str | None = None,
            far: str = "1e-2", threshold: float | None = None, aligned: bool = False) -> Comparison:
    """Compare the faces in two photographs.

    Args:
        first: a photograph; its largest face is used.
        second: another photograph.
        model: the model, see `facekd.models.loading.load`.
        detector: YuNet or SCRFD as ONNX; default ``$FACEKD_DETECTOR``.
        far: false accept rate; its threshold is read from the verification results of the run.
        threshold: similarity threshold in place of that of ``far``.
        aligned: whether the images are aligned crops already, for which no detector is needed.

    Raises:
        DataError: an image does not decode, shows no face, or is an aligned crop that is not square.
        ModelError: the model cannot be loaded.
        SetupError: there is no detector.
    """
    embedder = load(model)
    face_detector = None if aligned else open_detector(find_detector(detector))
    crops = np.stack([_read_crop(Path(path), embedder, face_detector) for path in (first, second)])
    embeddings = embedder.embed(crops).astype(np.float64)
    similarity = float(embeddings[0] @ embeddings[1])
    if threshold is not None:
        return Comparison(similarity, threshold, None, "given")
    measured_threshold, source = _read_threshold(Path(model), far)
    return Comparison(similarity, measured_threshold, far if measured_threshold is not None else None, source)


def _read_crop(path: Path, embedder: Embedder, detector: Detector | None) -> NDArray[np.uint8]:
    if not path.is_file():
        raise DataError(f"{path} does not exist; check the path")
    if detector is None:
        return decode_crop(path.read_bytes(), embedder.size, str(path))
    image = decode(path.read_bytes(), str(path))
    faces = detector(image)
    if not faces:
        raise DataError(f"{path}: no face was found; use a larger or sharper picture, or --aligned for a crop")
    return warp_face(image, faces[0].landmarks, embedder.size)


def _read_threshold(model: Path, far: str) -> tuple[float | None, str]:
    """Return the threshold at a false accept rate from the run's verification results, and its file or what to do."""
    for file in sorted(Run(model).results.glob("verify-*.json")) if model.is_dir() else []:
        for measured_far, threshold in read_json(file).get("thresholds", {}).items():
            if threshold is not None and float(measured_far) == float(far):
                return float(threshold), str(file)
    return None, (
        f"no verification result of this model holds a threshold at FAR {far}; "
        "run 'facekd eval verify' or give --threshold"
    )
