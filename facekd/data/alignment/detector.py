"""Detect faces and their five landmarks in a photograph, with a detector file that the user provides."""

from __future__ import annotations

import contextlib
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facekd.data import cv2
from facekd.errors import DataError, ModelError, SetupError
from facekd.io import files
from facekd.io.reading import reading
from facekd.text import path_text, shorten

Image = NDArray[np.uint8]

DETECTOR_VARIABLE = "FACEKD_DETECTOR"
"""Environment variable with the path of the default detector."""
MAX_LONGER_SIDE = 1280
"""Photographs with a longer side above this (pixels) are shrunk to it before detection."""
MIN_LONGER_SIDE = 192
"""Smaller photographs are enlarged to this (pixels): detectors miss small faces and place their landmarks badly."""
MIN_SHORTER_SIDE = 16
"""An image with a shorter side below this (pixels, after scaling) is not searched for faces."""


class DetectedFace(NamedTuple):
    """One detected face.

    Attributes:
        box: float32 [4], left, top, right, bottom in pixels of the photograph; it may extend beyond the border.
        landmarks: float32 [5, 2], (x, y) of left eye, right eye, nose, left and right mouth corner. Left and right are
            those of the image.
        score: the confidence of the detector, 0 to 1.
    """

    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    score: float


class Detector(ABC):
    """A face detector. It must not be used from several threads at once.

    Attributes:
        fingerprint: hexadecimal SHA-256 of the detector's file.
    """

    fingerprint: str

    def __call__(self, image: Image) -> list[DetectedFace]:
        """Detect the faces of a photograph.

        Args:
            image: uint8 [height, width, 3], RGB.

        Returns:
            The faces in pixel coordinates of the photograph, largest first (see `sort_by_area`).
        """
        longer = max(image.shape[:2])
        scale = min(max(longer, MIN_LONGER_SIDE), MAX_LONGER_SIDE) / longer
        height, width = (max(round(side * scale), 1) for side in image.shape[:2])
        if min(height, width) < MIN_SHORTER_SIDE:
            return []
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if scale != 1:
            interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            bgr = cv2.resize(bgr, (width, height), interpolation=interpolation)
        to_photograph = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
        try:
            faces = self.detect(bgr.astype(np.uint8, copy=False))
        except Exception as error:  # of OpenCV, ONNX Runtime, InsightFace and NumPy, without a common base
            raise ModelError(f"the detector fails on an image of {width}x{height} ({shorten(error)}); download it "
                             "again, or use another one") from error
        return sort_by_area(
            [
                DetectedFace(face.box * np.tile(to_photograph, 2), face.landmarks * to_photograph, face.score)
                for face in faces
            ]
        )

    @abstractmethod
    def detect(self, bgr: Image) -> list[DetectedFace]:
        """Detect the faces of an image of suitable size, uint8 [height, width, 3] in OpenCV's color order, BGR."""


def sort_by_area(faces: Sequence[DetectedFace]) -> list[DetectedFace]:
    """Sort faces by the area of their boxes, largest first; faces of equal area by score, highest first."""
    return sorted(faces, key=lambda face: (float(np.prod(face.box[2:] - face.box[:2])), face.score), reverse=True)


class YuNet(Detector):
    """YuNet (Wu, Peng and Yu, Machine Intelligence Research 2023), run by OpenCV.

    Args:
        path: the ONNX file of YuNet, version 2022 or later.
        threshold: the lowest score of a face.
    """

    def __init__(self, path: Path, threshold: float = 0.6) -> None:
        self.fingerprint = files.sha256(path)
        _refuse_invalid_graph(path)
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(2)  # errors only: OpenCV 5 warns about the target that it selects itself
        try:
            self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), threshold, 0.3, 5000)
        except cv2.error as error:
            raise ModelError(f"OpenCV {cv2.__version__} cannot load {path_text(path)} ({shorten(error)}); download it "
                             "again") from error
        finally:
            cv2.utils.logging.setLogLevel(level)

    def detect(self, bgr: Image) -> list[DetectedFace]:
        """See `Detector.detect`."""
        self._net.setInputSize((bgr.shape[1], bgr.shape[0]))
        rows = self._net.detect(bgr)[1]  # per face: left, top, width, height, five landmarks, score
        if rows is None:
            return []
        return [
            DetectedFace(np.append(row[:2], row[:2] + row[2:4]), row[4:14].reshape(5, 2).copy(), float(row[14]))
            for row in rows
        ]


class Scrfd(Detector):
    """An SCRFD detector of InsightFace (Guo et al., ICLR 2022), run by the insightface package on the CPU.

    Args:
        path: an ONNX file that outputs landmarks (``scrfd_*_kps.onnx``, or ``det_*.onnx`` of a model pack).
        threshold: the lowest score of a face.

    Raises:
        SetupError: the insightface package cannot be imported.
    """

    def __init__(self, path: Path, threshold: float = 0.5) -> None:
        self.fingerprint = files.sha256(path)
        try:
            from insightface.model_zoo import get_model
        except ImportError as error:
            raise SetupError(f"SCRFD needs the insightface package ({error}); pip install insightface") from error
        loading = reading(path, ModelError, kind="a detector", remedy="download it again")
        with loading, contextlib.redirect_stdout(io.StringIO()):  # loading prints to stdout
            self._net = get_model(str(path), providers=["CPUExecutionProvider"])
            self._net.prepare(ctx_id=-1, det_thresh=threshold)

    def detect(self, bgr: Image) -> list[DetectedFace]:
        """See `Detector.detect`."""
        boxes, landmarks = self._net.detect(bgr)
        return [
            DetectedFace(box[:4].copy(), points.copy(), float(box[4]))
            for box, points in zip(boxes, landmarks, strict=True)
        ]


def find_detector(path: Path | str | None) -> Path:
    """Return the path of the detector to use: the given one, or that in ``$FACEKD_DETECTOR``.

    Raises:
        SetupError: neither is set; the message names sources of detectors.
    """
    chosen = path or os.environ.get(DETECTOR_VARIABLE)
    if not chosen:
        raise SetupError(
            f"a face detector is needed: give --detector FILE or set {DETECTOR_VARIABLE}. "
            "YuNet (Apache-2.0, 0.3 MB) is face_detection_yunet in OpenCV's model zoo; "
            "InsightFace's SCRFD models (det_*.onnx) work as well"
        )
    return Path(chosen)


def open_detector(path: Path) -> Detector:
    """Open a face detector. The outputs of the ONNX graph decide whether it is YuNet or SCRFD.

    Raises:
        DataError: the file does not exist.
        ModelError: the file is not ONNX, or not a detector with five landmarks.
    """
    if not path.is_file():
        raise DataError(f"{path_text(path)} does not exist; give the ONNX file of YuNet or of an InsightFace "
                        "SCRFD detector")
    outputs = _outputs(path)
    if outputs.keys() == {f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)}:
        return YuNet(path)
    # SCRFD has the scores of all strides first, then the boxes, then the landmarks; a dimension may be left open (0).
    levels, rest = divmod(len(outputs), 3)
    expected = [width for width in (1, 4, 10) for _ in range(levels)]
    widths_fit = all(width in (0, wanted) for width, wanted in zip(outputs.values(), expected, strict=False))
    if levels in (3, 5) and rest == 0 and widths_fit:
        return Scrfd(path)
    names = shorten(", ".join(list(outputs)[:6]))
    raise ModelError(
        f"{path_text(path)} is no detector that gives five points: its {len(outputs)} outputs ({names}) are neither "
        "those of a YuNet of 2022 or later nor those of an SCRFD with landmarks; give one of these"
    )


def _refuse_invalid_graph(path: Path) -> None:
    """Let ONNX Runtime load a graph first: some damaged ones end the process in OpenCV's importer."""
    import onnxruntime as ort  # slow to import, and needed for this detector only

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    with reading(path, ModelError, kind="a detector", remedy="download it again"):
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _outputs(path: Path) -> dict[str, int]:
    """Return the outputs of an ONNX graph in order: name and last dimension, 0 if the graph leaves it open."""
    from facekd.io.onnx_file import external_weights, read_model  # imports onnx

    model = read_model(path)
    external_weights(path, model)
    with reading(path, ModelError, kind="a detector", remedy="download it again"):
        shapes = {str(output.name): output.type.tensor_type.shape.dim for output in model.graph.output}
        return {name: shape[-1].dim_value if shape else 0 for name, shape in shapes.items()}
