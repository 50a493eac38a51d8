"""Divide the sets of recipes/own_teacher.sh: crops to train on, without labels, and distractors that stay out of them.

    python recipes/own_teacher/divide.py FACES OUT

OUT/crops holds FACES/train and every second image of FACES/distractors, OUT/test/distractors the other ones.
"""

import sys
from pathlib import Path

from facekd.data.opening import open_faces
from facekd.errors import DataError
from facekd.io.files import atomic_folder


def main() -> None:
    """Write both folders."""
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    with atomic_folder(out, DataError) as folder:
        for name in ("crops", "distractors"):
            (folder / name).mkdir()
        for name in ("train", "distractors"):
            faces = open_faces(source / name)
            for index in range(len(faces)):
                is_kept_out = name == "distractors" and index % 2 == 1
                target = folder / "distractors" / f"{index:05d}" if is_kept_out else folder / "crops"
                target.mkdir(exist_ok=True)
                (target / f"{name}-{index:05d}.jpg").write_bytes(faces.read(index))


if __name__ == "__main__":
    main()
