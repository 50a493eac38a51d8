"""``facekd compare``: whether two photographs show the same person."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from facekd.data.alignment.detector import Detector, find_detector, open_detector
from facekd.data.alignment.landmarks import warp_face
from facekd.data.transforms import decode, decode_crop
from facekd.deploy.package import read_package
from facekd.errors import DataError
from facekd.io.documents import read_json
from facekd.io.reading import read_bytes, reading
from facekd.models.embedder import Embedder
from facekd.models.input_format import InputOptions
from facekd.models.loading import load
from facekd.run import Run
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
    """

    similarity: float
    threshold: float | None
    far: str | None
    source: str

    @property
    def same_person(self) -> bool | None:
        """Whether both photographs show the same person at that threshold; None without a threshold."""
        return None if self.threshold is None else self.similarity > self.threshold


@dataclass(frozen=True)
class _Threshold:
    """A measured threshold, its file, and whether it was measured with mirrored images added."""

    value: float
    source: str
    flip: bool


def compare(first: Path | str, second: Path | str, model: Path | str, *, detector: Path | str | None = None,
            far: str | None = None, threshold: float | None = None, result: Path | str | None = None,
            aligned: bool = False, **options: Unpack[InputOptions]) -> Comparison:
    """Compare the faces in two photographs.

    Args:
        first: a photograph; its largest face is used.
        second: another photograph.
        model: the model, see `facekd.models.loading.load`.
        detector: YuNet or SCRFD as ONNX; default ``$FACEKD_DETECTOR``.
        far: false accept rate, by default 1e-2. Its threshold is read from the verification results of a run, from the
            metadata of a package, or from ``result``.
        threshold: similarity threshold in place of that of ``far``.
        result: a result file of `facekd.api.evaluate.verify.verify` with this model.
        aligned: whether the images are aligned crops already, for which no detector is needed.
        options: how an ``.onnx`` file is fed, see `facekd.models.input_format.InputOptions`.

    Raises:
        DataError: an image does not decode, shows no face, or is an aligned crop that is not square; an argument has no
            effect or is not valid.
        ModelError: the model cannot be loaded.
        SetupError: there is no detector.
    """
    _check_arguments(far, threshold, result, aligned, detector)
    embedder = load(model, **options)
    measured = None
    if threshold is None:
        measured = _read_threshold(Path(model), embedder, far or DEFAULT_FAR, Path(result) if result else None)
    face_detector = None if aligned else open_detector(find_detector(detector))
    crops = np.stack([_read_crop(Path(path), embedder, face_detector) for path in (first, second)])
    embeddings = embedder.embed(crops, flip=measured is None or measured.flip).astype(np.float64)
    similarity = float(embeddings[0] @ embeddings[1])
    if threshold is not None:
        return Comparison(similarity, threshold, None, "given")
    if measured is None:
        return Comparison(similarity, None, None, _advice(Path(model), far or DEFAULT_FAR))
    return Comparison(similarity, measured.value, far or DEFAULT_FAR, measured.source)


def _check_arguments(far: str | None, threshold: float | None, result: Path | str | None, aligned: bool,
                     detector: Path | str | None) -> None:
    if threshold is not None and not math.isfinite(threshold):
        raise DataError(f"--threshold {threshold} is no similarity; give a number between -1 and 1")
    if threshold is not None and (far is not None or result is not None):
        raise DataError("--threshold replaces the threshold of --far and --result; give one or the other")
    if far is not None and _rate(far) is None:
        raise DataError(f"--far {shorten(far)} is no false accept rate; give a number above 0 and below 1, e.g. 1e-3")
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


def _read_threshold(model: Path, embedder: Embedder, far: str, result: Path | None) -> _Threshold | None:
    """Return the measured threshold at a false accept rate; None if there is none."""
    rate = _rate(far)
    for source, thresholds, flip in _measured_thresholds(model, embedder, result):
        with reading(source, remedy="measure it again"):
            for measured_far, value in thresholds.items():
                if value is not None and _rate(measured_far) == rate and math.isfinite(float(value)):
                    return _Threshold(float(value), str(source), flip)
    return None


def _measured_thresholds(model: Path, embedder: Embedder, result: Path | None
                         ) -> Iterator[tuple[Path, Mapping[str, Any], bool]]:
    """Yield the files that hold thresholds of a model: the file, its thresholds by FAR, and whether views were added.

    Raises:
        DataError: ``result`` is no verification result of this model.
    """
    if result is not None:
        content = read_json(result)
        if content.get("kind") != "verify" or content.get("model_sha256") != embedder.fingerprint:
            raise DataError(f"{path_text(result)} is no verification result of this model, fed in this way; make it by "
                            f"'facekd eval verify --model {path_text(model)} --json FILE'")
        yield result, content.get("thresholds", {}), content.get("flip", True)
    if (model / "metadata.json").is_file():
        yield from _package_thresholds(model, embedder)
    elif model.is_dir():
        for file in sorted(Run(model).results.glob("verify-*.json")):
            content = read_json(file)
            yield file, content.get("thresholds", {}), content.get("flip", True)


def _package_thresholds(folder: Path, embedder: Embedder) -> Iterator[tuple[Path, Mapping[str, Any], bool]]:
    """Yield the thresholds of the file of a package that is loaded; a package measures one view of each image."""
    metadata = read_package(folder).metadata
    with reading(folder / "metadata.json", remedy="export it again"):
        for entry in metadata["files"].values():
            verification = entry["validation"]["verification"]
            if metadata["sha256"][entry["files"][0]] == embedder.fingerprint and isinstance(verification, Mapping):
                thresholds = verification["thresholds"] or verification["file"]["thresholds"]
                yield folder / "metadata.json", thresholds, False


def _advice(model: Path, far: str) -> str:
    """Return what to do if no threshold at a false accept rate is known."""
    if (model / "metadata.json").is_file():
        return f"the package holds no threshold at FAR {far}; export it with --pairs, or give --threshold"
    if model.is_dir():
        return (f"no verification result of this model holds a threshold at FAR {far}; run 'facekd eval verify "
                f"--model {path_text(model)}' on more pairs, or give --threshold")
    return (f"no threshold at FAR {far} is known; run 'facekd eval verify --model {path_text(model)} --json FILE' and "
            "give --result FILE, or give --threshold")
