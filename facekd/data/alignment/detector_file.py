"""Face detectors in ONNX files that the user provides: YuNet and SCRFD."""

from __future__ import annotations

import contextlib
import copy
import io
import os
from pathlib import Path

import numpy as np

from facekd.data import cv2
from facekd.data.alignment.detector import DetectedFace, Detector, Image
from facekd.errors import DataError, ModelError, SetupError
from facekd.io import files
from facekd.io.reading import reading
from facekd.text import path_text, shorten

DETECTOR_VARIABLE = "FACEKD_DETECTOR"
"""Environment variable with the path of the default detector."""
_AGAIN = "download it again"


class YuNet(Detector):
    """YuNet (Wu, Peng and Yu, Machine Intelligence Research 2023), run by OpenCV on the CPU.

    Args:
        path: the ONNX file of YuNet, version 2022 or later.
        threshold: the lowest score of a face.
    """

    def __init__(self, path: Path, threshold: float = 0.6) -> None:
        self.fingerprint = files.sha256(path)
        self._path = path
        self._threshold = threshold
        from facekd.io.onnx_session import open_session  # slow to import

        with reading(path, ModelError, kind="a detector", remedy=_AGAIN):
            open_session(path, optimize=False)  # some damaged graphs end the process in OpenCV's importer
        self._net = self._open()

    def _open(self) -> cv2.FaceDetectorYN:
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(2)  # errors only: OpenCV 5 warns about the target that it selects itself
        try:
            return cv2.FaceDetectorYN.create(str(self._path), "", (320, 320), self._threshold, 0.3, 5000)
        except cv2.error as error:
            raise ModelError(f"OpenCV {cv2.__version__} cannot load {path_text(self._path)} ({shorten(error)}); "
                             f"{_AGAIN}") from error
        finally:
            cv2.utils.logging.setLogLevel(level)

    def clone(self) -> YuNet:
        """See `Detector.clone`."""
        other = copy.copy(self)
        other._net = self._open()
        return other

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
    """An SCRFD detector of InsightFace (Guo et al., ICLR 2022), run by the insightface package.

    Args:
        path: an ONNX file that outputs landmarks (``scrfd_*_kps.onnx``, or ``det_*.onnx`` of a model pack).
        threshold: the lowest score of a face.
        device: the device, see `facekd.io.onnx_session.choose_providers`.

    Raises:
        SetupError: the insightface package cannot be imported, or the device cannot be used.
    """

    def __init__(self, path: Path, threshold: float = 0.5, device: str = "cpu") -> None:
        self.fingerprint = files.sha256(path)
        self._path = path
        self._threshold = threshold
        from facekd.io.onnx_session import choose_providers, open_session  # slow to import

        with reading(path, ModelError, kind="a detector", remedy=_AGAIN):
            used = open_session(path, device).get_providers()  # raises if the device cannot be used
            self._providers = [(name, options) for name, options in choose_providers(device) if name in used]
            self._open()
        if len(self._providers) > 1:  # each instance has a context on the card
            self.max_instances = 4

    def _open(self) -> None:
        import onnxruntime

        try:
            from insightface.model_zoo import get_model
        except ImportError as error:
            raise SetupError(f"SCRFD needs the insightface package ({error}); pip install insightface") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # photographs are processed side by side
        names, settings = zip(*self._providers, strict=True)
        with contextlib.redirect_stdout(io.StringIO()):  # loading prints to stdout
            self._net = get_model(str(self._path), providers=list(names), provider_options=list(settings),
                                  sess_options=options)
            self._net.prepare(ctx_id=-1 if len(names) == 1 else 0, det_thresh=self._threshold)

    def clone(self) -> Scrfd:
        """See `Detector.clone`."""
        other = copy.copy(self)
        other._open()
        return other

    def detect(self, bgr: Image) -> list[DetectedFace]:
        """See `Detector.detect`."""
        boxes, landmarks = self._net.detect(bgr)
        return [
            DetectedFace(box[:4].copy(), points.copy(), float(box[4]))
            for box, points in zip(boxes, landmarks, strict=True)
        ]


def find_detector(path: Path | str | None) -> Path:
    """Return the path of the detector to use: the given one, or that in ``$FACEKD_DETECTOR``.

    Args:
        path: the file, or the folder of a model pack, in which the detector is looked for.

    Raises:
        SetupError: neither is set; the message names sources of detectors.
        ModelError: the folder holds no detector, or several.
    """
    chosen = path or os.environ.get(DETECTOR_VARIABLE)
    if not chosen:
        raise SetupError(
            f"a face detector is needed: give --detector FILE or set {DETECTOR_VARIABLE}. "
            "YuNet (Apache-2.0, 0.3 MB) is face_detection_yunet in OpenCV's model zoo; "
            "InsightFace's SCRFD models (det_*.onnx) and folders of its model packs work as well"
        )
    if not os.path.isdir(chosen):
        return Path(chosen)
    from facekd.io.insightface_pack import find_detector_file  # imports onnx

    return find_detector_file(Path(chosen))


def open_detector(path: Path, device: str = "cpu") -> Detector:
    """Open a face detector. The outputs of the ONNX graph decide whether it is YuNet or SCRFD.

    Args:
        path: the file.
        device: the device of an SCRFD, see `facekd.io.onnx_session.choose_providers`; YuNet runs on the CPU.

    Raises:
        DataError: the file does not exist.
        ModelError: the file is not ONNX, or not a detector with five landmarks.
        SetupError: the device cannot be used.
    """
    from facekd.io.insightface_pack import detector_kind, output_widths  # imports onnx

    if not path.is_file():
        raise DataError(f"{path_text(path)} does not exist; give the ONNX file of YuNet or of an InsightFace "
                        "SCRFD detector")
    kind = detector_kind(path)
    if kind == "scrfd":
        return Scrfd(path, device=device)
    if kind == "yunet":
        if device not in ("auto", "cpu"):
            raise SetupError(f"{path_text(path)} is a YuNet, which runs on the CPU alone; leave --device "
                             f"{shorten(device)} out, or give an SCRFD")
        return YuNet(path)
    outputs = list(output_widths(path))
    raise ModelError(
        f"{path_text(path)} is no detector that gives five points: its {len(outputs)} outputs "
        f"({shorten(', '.join(outputs[:6]))}) are neither those of a YuNet of 2022 or later nor those of an SCRFD with "
        "landmarks; give one of these"
    )
