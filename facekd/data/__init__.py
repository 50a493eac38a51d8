"""Image sets, face sets and feature sets: reading, checking, aligning and augmenting them.

Importing this package loads OpenCV and sets its thread count and its limit of pixels for the whole process.
"""

import os

from facekd.errors import SetupError

# OpenCV reads this variable when it is loaded. It is the limit for the formats whose header facekd does not read; see
# `facekd.data.transforms.MAX_PIXELS`.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))
try:
    import cv2
except ImportError as error:  # minimal containers lack the system libraries that OpenCV's GUI functions need
    raise SetupError(
        f"OpenCV cannot be loaded ({error}). On Debian or Ubuntu: apt-get install libgl1 libglib2.0-0; "
        "or replace it: pip uninstall opencv-python && pip install opencv-python-headless"
    ) from error

# facekd decodes images in its own threads, and OpenCV's internal threads would compete with them for the same cores.
# The setting is global, so OpenCV also runs single-threaded in the code of a program that imports facekd.data.
cv2.setNumThreads(1)

__all__ = ["cv2"]
