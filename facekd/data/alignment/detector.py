"""Finding faces and their five points in a photograph, with a detector file that the user brings."""

from __future__ import annotations

import contextlib
import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facekd.data import cv2
from facekd.errors import DataError, ModelError, SetupError
from facekd.utils import files

Image = NDArray[np.uint8]

LONGEST = 1280
"""Pixels: photographs with a longer side are shrunk to it before detection."""
SHORTEST = 192
"""Pixels: smaller pictures are enlarged to it, as detectors miss small faces and place their points badly."""
STRIP = 16
"""Pixels: a picture with a side below it after this scaling is no photograph, no face is looked for."""


class Face(NamedTuple):
    """One face found.

    Attributes:
        box: float32 [4], left, top, right, bottom in pixels of the photograph; it may reach beyond its border.
        landmarks: float32 [5, 2], (x, y) of left eye, right eye, nose, left and right mouth corner, left and right as
            seen in the picture.
        score: the detector's confidence, 0 to 1.
    """

    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    score: float


class Detector(ABC):
    """A face detector; not for use from several threads at once.

    Attributes:
        fingerprint: hexadecimal SHA-256 of its file.
    """

    fingerprint: str

    def __call__(self, image: Image) -> list[Face]:
        """Find the faces of a photograph.

        Args:
            image: uint8 [height, width, 3], RGB.

        Returns:
            The faces in the photograph's own pixel coordinates, largest first (see `by_size`).
        """
        longer = max(image.shape[:2])
        scale = LONGEST / longer if longer > LONGEST else SHORTEST / longer if longer < SHORTEST else 1.0
        height, width = (max(round(side * scale), 1) for side in image.shape[:2])
        if min(height, width) < STRIP:
            return []
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if scale != 1:
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            bgr = cv2.resize(bgr, (width, height), interpolation=how)
        back = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
        found = self.find(bgr.astype(np.uint8, copy=False))
        return by_size([Face(face.box * np.tile(back, 2), face.landmarks * back, face.score) for face in found])

    @abstractmethod
    def find(self, bgr: Image) -> list[Face]:
        """Find the faces of a picture of suitable size, uint8 [height, width, 3] in OpenCV's colour order, BGR."""


def by_size(faces: Sequence[Face]) -> list[Face]:
    """Faces sorted by the area of their boxes, largest first; of equal ones the more certain first."""
    return sorted(faces, key=lambda face: (float(np.prod(face.box[2:] - face.box[:2])), face.score), reverse=True)


class YuNet(Detector):
    """YuNet (Wu, Peng and Yu, Machine Intelligence Research 2023), run by OpenCV.

    Args:
        path: its ONNX file of 2022 or later.
        threshold: lowest score of a face.
    """

    def __init__(self, path: Path, threshold: float = 0.6) -> None:
        self.fingerprint = files.sha256(path)
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(2)  # errors only: OpenCV 5 warns at every start of a target it chose itself
        try:
            self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), threshold, 0.3, 5000)
        except cv2.error as problem:
            raise ModelError(f"OpenCV {cv2.__version__} cannot load {path} ({problem}); download it again") from problem
        finally:
            cv2.utils.logging.setLogLevel(level)

    def find(self, bgr: Image) -> list[Face]:
        """See `Detector.find`."""
        self._net.setInputSize((bgr.shape[1], bgr.shape[0]))
        rows = self._net.detect(bgr)[1]  # left, top, width, height, five points, score
        if rows is None:
            return []
        return [Face(np.append(r[:2], r[:2] + r[2:4]), r[4:14].reshape(5, 2).copy(), float(r[14])) for r in rows]


class Scrfd(Detector):
    """An SCRFD detector of InsightFace (Guo et al., ICLR 2022), run by the insightface package on the CPU.

    Args:
        path: its ONNX file, one that gives landmarks (``scrfd_*_kps.onnx``, or ``det_*.onnx`` of a model pack).
        threshold: lowest score of a face.

    Raises:
        SetupError: the insightface package cannot be imported.
    """

    def __init__(self, path: Path, threshold: float = 0.5) -> None:
        self.fingerprint = files.sha256(path)
        try:
            from insightface.model_zoo import get_model
        except ImportError as problem:
            raise SetupError(f"SCRFD needs the insightface package ({problem}); pip install insightface") from problem
        with contextlib.redirect_stdout(io.StringIO()):  # it prints as it loads
            self._net = get_model(str(path), providers=["CPUExecutionProvider"])
            self._net.prepare(ctx_id=-1, det_thresh=threshold)

    def find(self, bgr: Image) -> list[Face]:
        """See `Detector.find`."""
        boxes, points = self._net.detect(bgr)
        return [Face(box[:4].copy(), five.copy(), float(box[4])) for box, five in zip(boxes, points, strict=True)]


def open_detector(path: Path) -> Detector:
    """Open a face detector; the outputs of its graph tell which one it is.

    Raises:
        DataError: no such file.
        ModelError: no ONNX file, or none of a detector that gives five points.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; give the ONNX file of YuNet or of an InsightFace SCRFD detector")
    outputs = _outputs(path)
    if outputs.keys() == {f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)}:
        return YuNet(path)
    levels, rest = divmod(len(outputs), 3)
    expected = [width for width in (1, 4, 10) for _ in range(levels)]
    fits = all(width in (0, wanted) for width, wanted in zip(outputs.values(), expected, strict=False))
    if levels in (3, 5) and rest == 0 and fits:
        return Scrfd(path)
    names = ", ".join(list(outputs)[:6])
    raise ModelError(
        f"{path} is no detector that gives five points: its {len(outputs)} outputs ({names}) are neither those of "
        "a YuNet of 2022 or later nor those of an SCRFD with landmarks; give one of these"
    )


def _outputs(path: Path) -> dict[str, int]:
    """Outputs of an ONNX graph in order: name and last dimension, 0 where the graph leaves it open."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except (DecodeError, OSError, ValueError) as problem:
        raise ModelError(f"{path} cannot be read as an ONNX file ({problem}); download it again") from problem
    shapes = {output.name: output.type.tensor_type.shape.dim for output in graph.output}
    return {name: shape[-1].dim_value if shape else 0 for name, shape in shapes.items()}
