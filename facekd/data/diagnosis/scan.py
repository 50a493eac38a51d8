"""Read every image of a face set once and note what the doctor needs to know about it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facekd.data.diagnosis.digests import Digests, digest, empty
from facekd.data.diagnosis.finding import EXAMPLES
from facekd.data.face_set import FaceSet
from facekd.data.transforms import decode
from facekd.errors import DataError
from facekd.utils.progress import progress

BLOCK = 512
"""Images a thread takes at once; what waits for a thread takes about 1.5 kB a block."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What was seen of each image of a face set.

    Attributes:
        faces: the set.
        digests: of the encoded bytes [images], empty where the image cannot be read.
        sizes: int32 [images, 2], height and width in pixels, 0 where the image cannot be read.
        tones: float32 [images, 3], mean red, green and blue of the middle quarter (mostly skin), 0 to 255; else NaN.
        reasons: why the first few images that cannot be read cannot.
    """

    faces: FaceSet
    digests: Digests
    sizes: NDArray[np.int32]
    tones: NDArray[np.float32]
    reasons: list[str] = field(default_factory=list)

    @property
    def unreadable(self) -> int:
        """Number of images that cannot be read."""
        return len(self.sizes) - int(np.count_nonzero(self.sizes[:, 0]))


def survey(faces: FaceSet) -> Survey:
    """Decode every image (about 2,000 aligned crops a second and core) and note its content hash, size and tones."""
    count = len(faces)
    seen = Survey(faces, empty(count), np.zeros((count, 2), np.int32), np.full((count, 3), np.nan, np.float32))

    def look(start: int) -> tuple[int, list[str]]:
        block = range(start, min(start + BLOCK, count))
        return len(block), [reason for index in block if (reason := _note(seen, index))]

    threads = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        with progress(f"examine {faces.path}", count) as advance:
            unreadable = 0
            for done, reasons in threads.map(look, range(0, count, BLOCK)):
                unreadable += len(reasons)
                seen.reasons.extend(reasons[: EXAMPLES - len(seen.reasons)])
                advance(done, f"{unreadable} unreadable" if unreadable else "")
    finally:
        threads.shutdown(cancel_futures=True)
    return seen


def _note(seen: Survey, index: int) -> str | None:
    """Look at one image; gives the reason if it cannot be read."""
    where = seen.faces.where(index)
    try:
        data = seen.faces.read(index)
        image = decode(data, where)
    except DataError as problem:
        return str(problem)
    if data.startswith(b"\xff\xd8") and b"\xff\xd9" not in data:  # OpenCV 4 fills what is missing with grey
        return f"{where} is a JPEG that is cut short; restore it or remove it"
    height, width = image.shape[:2]
    middle = image[height // 4 : height - height // 4, width // 4 : width - width // 4]
    seen.digests[index] = digest(data)
    seen.sizes[index] = height, width
    seen.tones[index] = middle.mean((0, 1))
    return None
