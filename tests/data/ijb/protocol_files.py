"""The lines of the invented protocol files: seven images in five templates of three subjects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

IMAGES = ["1.jpg 10 100", "2.jpg 10 101", "3.jpg 10 101", "4.jpg 7 100", "5.jpg 20 300", "6.jpg 21 400", "7.jpg 22 500"]
LANDMARKS = "46.060 62.026 87.785 60.323 68.851 77.656 52.162 99.875 86.450 98.648"
PAIRS = ["10 20 1", "10 21 0", "7 22 0", "7 21 1"]
HEADER = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT,FRAME_NUM,FACIAL_HAIR"
GALLERY_1 = [HEADER, "10,5,img/1.jpg,900,1,2,3,4,,", "10,5,frames/2.png,901,1,2,3,4,17,0", "10,5,frames/3.png,901"]
GALLERY_2 = [HEADER, "7,6,img/4.jpg,900,1,2,3,4,,"]
PROBES = [HEADER, "20,5,img/5.jpg,902,1,2,3,4,,", "21,6,img/6.jpg,903,1,2,3,4,,", "22,8,img/6.jpg,904,1,2,3,4,,"]
MATCHES = ["10,20", "10,21", "7,22", "7,21"]


def write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
