"""``facekd embed`` and ``facekd compare``: what a newcomer tries first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facekd.api.prepare import find_detector
from facekd.data.alignment.align import warp
from facekd.data.alignment.detector import Detector, open_detector
from facekd.data.containers.path_list import ListedImages, read_list
from facekd.data.megaface.feature_tree import ENDING, write_tree
from facekd.data.opening import open_faces
from facekd.data.transforms import crop_of, decode
from facekd.errors import DataError
from facekd.evaluation.embedding.extract import extract
from facekd.models.embedder import Embedder
from facekd.models.loading import load
from facekd.run import Run
from facekd.training.machine import find_device
from facekd.utils import files


def embed(folder: Path | str, out: Path | str, model: Path | str, flip: bool = True, device: str = "auto",
          listed: Path | str | None = None, half: bool = False, kit: Path | str | None = None,
          ending: str | None = None) -> int:
    """Write the embeddings of a face set as ``.npy``, not normalised; stopped and run again, it continues.

    Args:
        folder: an image folder or RecordIO; with ``listed`` the folder its paths start from.
        out: float [images, dimension]; labels, names and where they came from go beside it, see `extract`.
        model: see `facekd.models.loading.load`.
        flip: sum image and mirror.
        device: for torch models.
        listed: a text file with one image path a line, to embed just these in this order.
        half: write float16.
        kit: also write MegaFace's tree of one file an image, below this folder.
        ending: of the tree's files, behind the image's path; default ``_facekd.bin``.

    Returns:
        number of images.

    Raises:
        DataError: the images cannot be used.
        ModelError: no such model.
        SetupError: the disk is full.
    """
    faces = open_faces(folder) if listed is None else ListedImages(Path(folder), read_list(Path(listed)))
    features = extract(load(model, find_device(device)), faces, Path(out), flip, half)
    if kit is not None:
        write_tree(features, Path(kit), ending or ENDING)
    return len(features)


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        similarity: cosine of the two embeddings, -1 to 1.
        threshold: above it two faces count as one person; None where none is known.
        far: the false accept rate the threshold was measured at, as text.
        source: where the threshold comes from.
    """

    similarity: float
    threshold: float | None
    far: str | None
    source: str

    @property
    def same(self) -> bool | None:
        """Whether the two show one person, at that threshold."""
        return None if self.threshold is None else self.similarity > self.threshold


def compare(first: Path | str, second: Path | str, model: Path | str, detector: Path | str | None = None,
            far: str = "1e-2", threshold: float | None = None, aligned: bool = False) -> Comparison:
    """Are these two photographs of one person?

    Args:
        first: a photograph; its largest face counts.
        second: another.
        model: see `facekd.models.loading.load`.
        detector: YuNet or SCRFD as ONNX; default ``$FACEKD_DETECTOR``.
        far: false accept rate of the verdict; its threshold is taken from the run's own verification results.
        threshold: use this one instead.
        aligned: the images are aligned crops already; no detector is needed.

    Raises:
        DataError: an image does not decode, shows no face, or is said to be aligned and is not square.
        ModelError: no such model.
        SetupError: no detector.
    """
    embedder = load(model)
    finder = None if aligned else open_detector(find_detector(detector))
    a, b = (_crop(Path(p), embedder, finder) for p in (first, second))
    features = embedder.embed(np.stack([a, b])).astype(np.float64)
    similarity = float(features[0] @ features[1])
    if threshold is not None:
        return Comparison(similarity, threshold, None, "given")
    known, source = _threshold(Path(model), far)
    return Comparison(similarity, known, far if known is not None else None, source)


def _crop(path: Path, embedder: Embedder, detector: Detector | None) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    if not path.is_file():
        raise DataError(f"{path} does not exist; check the path")
    if detector is None:
        return crop_of(path.read_bytes(), embedder.size, str(path))
    image = decode(path.read_bytes(), str(path))
    found = detector(image)
    if not found:
        raise DataError(f"{path}: no face was found; use a larger or sharper picture, or --aligned for a crop")
    return warp(image, found[0].landmarks, embedder.size)


def _threshold(model: Path, far: str) -> tuple[float | None, str]:
    """The threshold of a false accept rate in the run's verification results, and where it stands."""
    for file in sorted(Run(model).results.glob("verify-*.json")) if model.is_dir() else []:
        for measured, threshold in files.read_json(file).get("thresholds", {}).items():
            if threshold is not None and float(measured) == float(far):
                return float(threshold), str(file)
    return None, (
        f"no verification result of this model holds a threshold at FAR {far}; "
        "run 'facekd eval verify' or give --threshold"
    )
