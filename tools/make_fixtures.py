"""Writes tests/fixtures: synthetic faces, one small set in each format that facekd reads.

``python tools/make_fixtures.py [OUT]``; the same pictures come out everywhere, the JPEG bytes depend on OpenCV's build.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from facekd.data import cv2
from facekd.data.containers.recordio_writer import pack
from facekd.data.feature_set import ArrayFeatures
from facekd.data.features.opening import write_features
from facekd.data.opening import open_faces
from facekd.data.pairs.insightface_bin import write_bin
from facekd.data.pairs.text_lists import read_csv
from facekd.data.synthetic.dataset import render, render_photo, write_faces, write_pairs
from facekd.utils import files

PEOPLE, IMAGES = range(8), 4
STRANGERS = range(100, 140)
FOLDS, PAIRS = 4, 16


def make(out: Path) -> None:
    """Write all of it into ``out``, which must not hold it yet."""
    write_faces(out / "folder", PEOPLE, IMAGES)
    pack(open_faces(out / "folder"), out / "record")
    write_pairs(out / "folder", PEOPLE, IMAGES, PAIRS, FOLDS, out / "pairs.csv")
    write_lfw(out)
    write_bin(read_csv(out / "pairs.csv", out / "folder"), out / "pairs.bin")
    write_photos(out / "photos")
    own = [(person, view) for person in PEOPLE for view in range(IMAGES)]
    write_features(out / "features" / "probes.npy", describe(own), np.array([person for person, _ in own]))
    write_features(out / "features" / "distractors.npy", describe([(person, 0) for person in STRANGERS]), None)


def write_lfw(out: Path) -> None:
    """The pairs of ``pairs.csv`` as LFW's pairs.txt, and the images under the names it needs (counted from 1)."""
    lines = [f"{FOLDS}\t{PAIRS // 2}"]
    for row in (out / "pairs.csv").read_text(encoding="utf-8").splitlines()[1:]:
        _, first, second, same = row.split(",")
        (one, i), (other, j) = (Path(path).with_suffix("").parts for path in (first, second))
        i, j = str(int(i) + 1), str(int(j) + 1)
        lines.append("\t".join([one, i, j] if same == "1" else [one, i, other, j]))
    files.write_text(out / "pairs.txt", "\n".join(lines) + "\n")
    for image in (out / "folder").rglob("*.jpg"):
        name = f"{image.parent.name}_{int(image.stem) + 1:04d}.jpg"
        files.write_bytes(out / "lfw" / image.parent.name / name, image.read_bytes())


def write_photos(out: Path) -> None:
    """Three unaligned photographs of each of two people, and their exact five points in ``landmarks.json``."""
    landmarks = {}
    for person in PEOPLE[:2]:
        for view in range(3):
            image, points = render_photo(person, view)
            name = f"id_{person:05d}/{view:04d}.jpg"
            files.write_bytes(out / name, cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())
            landmarks[name] = [round(value, 2) for value in points.ravel().tolist()]
    files.write_json(out / "landmarks.json", landmarks)


def describe(pictures: list[tuple[int, int]]) -> np.ndarray:
    """A stand-in for embeddings: the picture in 8 x 8 colours, mean removed, unit length; float32 [n, 192]."""
    small = [cv2.resize(render(*picture), (8, 8), interpolation=cv2.INTER_AREA).ravel() for picture in pictures]
    rows = np.array(small, np.float64)
    return ArrayFeatures(rows - rows.mean(axis=1, keepdims=True)).all()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", metavar="OUT",
                        default=Path(__file__).resolve().parent.parent / "tests" / "fixtures")
    make(parser.parse_args().out)
