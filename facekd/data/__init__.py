"""Face sets and what they are made from; importing this room checks that OpenCV can be loaded."""

from facekd.errors import SetupError

try:
    import cv2
except ImportError as error:  # a minimal container lacks the libraries OpenCV's window functions link to
    raise SetupError(
        f"OpenCV cannot be loaded ({error}). On Debian or Ubuntu: apt-get install libgl1 libglib2.0-0; "
        "or replace it: pip uninstall opencv-python && pip install opencv-python-headless"
    ) from error

cv2.setNumThreads(1)  # we decode in threads of our own; nested ones only get in each other's way

__all__ = ["cv2"]
