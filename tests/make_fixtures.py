"""Write tests/fixtures: synthetic faces, one small set in each format that facekd reads.

Run ``python -m tests.make_fixtures [OUT]``. The images are the same on every machine; the JPEG bytes depend on the
build of OpenCV.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data import cv2
from facekd.data.containers.recordio_writer import pack
from facekd.data.feature_set import ArrayFeatures
from facekd.data.features.opening import write_features
from facekd.data.opening import open_faces
from facekd.data.pairs.insightface_bin import write_bin
from facekd.data.pairs.text_lists import read_csv
from facekd.data.synthetic.dataset import render_crop, render_photo, write_faces, write_pairs
from facekd.io import files

PEOPLE = range(8)
IMAGES = 4
"""Images per person."""
STRANGERS = range(100, 140)
"""The identities of the distractors."""
FOLDS = 4
PAIRS = 16
"""Pairs per fold."""


def write_fixtures(out: Path) -> None:
    """Write all fixtures into a folder that does not contain them yet."""
    write_faces(out / "folder", PEOPLE, IMAGES)
    pack(open_faces(out / "folder"), out / "record")
    write_pairs(out / "folder", PEOPLE, IMAGES, PAIRS, FOLDS, out / "pairs.csv")
    write_lfw(out)
    write_bin(read_csv(out / "pairs.csv", out / "folder"), out / "pairs.bin")
    write_photos(out / "photos")
    probes = [(person, view) for person in PEOPLE for view in range(IMAGES)]
    write_features(out / "features" / "probes.npy", describe(probes), np.array([person for person, _ in probes]))
    write_features(out / "features" / "distractors.npy", describe([(person, 0) for person in STRANGERS]), None)


def write_lfw(out: Path) -> None:
    """Write the pairs of ``pairs.csv`` as LFW's pairs.txt, and the images under LFW's names (counted from 1)."""
    lines = [f"{FOLDS}\t{PAIRS // 2}"]
    for row in (out / "pairs.csv").read_text(encoding="utf-8").splitlines()[1:]:
        _, path1, path2, same = row.split(",")
        person1, number1 = Path(path1).with_suffix("").parts
        person2, number2 = Path(path2).with_suffix("").parts
        columns = [person1, str(int(number1) + 1)]
        if same == "0":
            columns.append(person2)
        lines.append("\t".join([*columns, str(int(number2) + 1)]))
    files.write_text(out / "pairs.txt", "\n".join(lines) + "\n")
    for image in (out / "folder").rglob("*.jpg"):
        name = f"{image.parent.name}_{int(image.stem) + 1:04d}.jpg"
        files.write_bytes(out / "lfw" / image.parent.name / name, image.read_bytes())


def write_photos(out: Path) -> None:
    """Write three unaligned photographs of each of two people, and their exact landmarks in ``landmarks.json``."""
    landmarks = {}
    for person in PEOPLE[:2]:
        for view in range(3):
            image, points = render_photo(person, view)
            name = f"id_{person:05d}/{view:04d}.jpg"
            files.write_bytes(out / name, cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())
            landmarks[name] = [round(value, 2) for value in points.ravel().tolist()]
    files.write_json(out / "landmarks.json", landmarks)


def describe(views: list[tuple[int, int]]) -> NDArray[np.float32]:
    """Return a substitute for embeddings: the crop in 8 x 8 colors, mean subtracted, unit length; float32 [n, 192]."""
    thumbnails = [cv2.resize(render_crop(*view), (8, 8), interpolation=cv2.INTER_AREA).ravel() for view in views]
    rows = np.array(thumbnails, np.float64)
    return ArrayFeatures(rows - rows.mean(axis=1, keepdims=True)).all_l2_normalized_rows()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parent / "fixtures"
    parser.add_argument("out", type=Path, nargs="?", metavar="OUT", default=default)
    write_fixtures(parser.parse_args().out)
