"""Read every image of a face set once and record the facts that the checks need."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facekd.data.diagnosis.digests import Digests, digest_bytes, empty_digests
from facekd.data.face_set import FaceSet
from facekd.data.transforms import decode
from facekd.errors import DataError
from facekd.utils.progress import progress_bar

MAX_REASONS = 10_000
"""Number of unreadable images that are named; further ones are only counted."""
BLOCK = 512
"""Number of images per task of a thread; a queued task takes about 1.5 kB."""


@dataclass(frozen=True, eq=False)
class ImageScan:
    """Facts about each image of a face set.

    Attributes:
        face_set: the face set.
        digests: the digests of the encoded bytes [images], empty for unreadable images.
        sizes: int32 [images, 2], height and width in pixels, 0 for unreadable images.
        tones: float32 [images, 3], mean red, green and blue (0 to 255) of the central quarter, which is mostly skin;
            NaN for unreadable images.
        reasons: the error messages of the unreadable images, of the first `MAX_REASONS` in the order of the set.
    """

    face_set: FaceSet
    digests: Digests
    sizes: NDArray[np.int32]
    tones: NDArray[np.float32]
    reasons: list[str] = field(default_factory=list)

    @property
    def unreadable(self) -> int:
        """Number of unreadable images."""
        return len(self.sizes) - int(np.count_nonzero(self.sizes[:, 0]))

    def images_per_identity(self) -> NDArray[np.int64]:
        """Return the number of images of each identity, int64 [identities]."""
        return np.bincount(self.face_set.labels, minlength=self.face_set.num_identities)


def scan_images(faces: FaceSet) -> ImageScan:
    """Decode every image (about 2,000 aligned crops per second and core) and record its digest, size and tones."""
    count = len(faces)
    tones = np.full((count, 3), np.nan, np.float32)
    scan = ImageScan(faces, empty_digests(count), np.zeros((count, 2), np.int32), tones)

    def scan_block(start: int) -> tuple[int, list[str]]:
        """Scan one block; return its length and the reasons why images of it are unreadable."""
        block = range(start, min(start + BLOCK, count))
        return len(block), [reason for index in block if (reason := _scan_image(scan, index))]

    threads = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        with progress_bar(f"examine {faces.path}", count) as advance:
            unreadable = 0
            for scanned, reasons in threads.map(scan_block, range(0, count, BLOCK)):
                unreadable += len(reasons)
                scan.reasons.extend(reasons[: MAX_REASONS - len(scan.reasons)])
                advance(scanned, f"{unreadable} unreadable" if unreadable else "")
    finally:
        threads.shutdown(cancel_futures=True)
    return scan


def _scan_image(scan: ImageScan, index: int) -> str | None:
    """Record the facts about one image; return the reason if it cannot be read."""
    location = scan.face_set.location(index)
    try:
        data = scan.face_set.read(index)
        image = decode(data, location)
    except DataError as error:
        return str(error)
    if data.startswith(b"\xff\xd8") and b"\xff\xd9" not in data:  # OpenCV 4 fills the missing rows with gray
        return f"{location} is a JPEG that is cut short; restore it or remove it"
    height, width = image.shape[:2]
    center = image[height // 4 : height - height // 4, width // 4 : width - width // 4]
    scan.digests[index] = digest_bytes(data)
    scan.sizes[index] = height, width
    scan.tones[index] = center.mean((0, 1))
    return None
