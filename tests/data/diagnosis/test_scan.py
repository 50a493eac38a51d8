from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from facekd.data.diagnosis import scan
from facekd.data.opening import open_faces
from tests.data.diagnosis.face_sets import encode_jpeg, noise_jpeg, write_image


def test_every_image_has_its_digest_and_size(folder: Path) -> None:
    write_image(folder, "Ada/wide.jpg", noise_jpeg(7, width=48, height=20))
    faces = open_faces(folder)
    result = scan.scan_images(faces)
    digests = [hashlib.blake2b(faces.read(index), digest_size=16).digest() for index in range(10)]
    assert [digest.ljust(16, b"\0") for digest in result.digests.tolist()] == digests
    assert result.sizes.tolist() == [list(faces.pixels(index).shape[:2]) for index in range(10)]
    assert (result.unreadable, result.images_per_identity().tolist()) == (0, [4, 3, 3])


def test_tones_are_those_of_the_central_quarter(tmp_path: Path) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[16:48, 16:48] = (200, 120, 40)
    write_image(tmp_path, "Ada/1.jpg", encode_jpeg(image))
    assert scan.scan_images(open_faces(tmp_path)).tones[0] == pytest.approx([200, 120, 40], abs=12)


def test_unreadable_images_are_counted_and_the_first_reasons_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "BLOCK", 2)  # several blocks
    monkeypatch.setattr(scan, "MAX_REASONS", 3)
    for number in range(5):
        write_image(tmp_path, f"Ada/{number}.jpg", b"no image")
    write_image(tmp_path, "Bo/1.jpg", noise_jpeg(1))
    result = scan.scan_images(open_faces(tmp_path))
    assert (result.unreadable, len(result.reasons)) == (5, 3)
    assert [str(tmp_path / "Ada" / f"{number}.jpg") in result.reasons[number] for number in range(3)] == [True] * 3
    assert result.digests[:5].tolist() == [b""] * 5 and np.isnan(result.tones[:5]).all()
