from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.api.compress import faces
from facekd.api.compress.faces import are_aligned, write_faces
from facekd.data import cv2
from facekd.data.opening import open_faces
from facekd.errors import DataError


def write_images(folder: Path, *sizes: tuple[int, int]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate(sizes):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        (folder / f"{number:03d}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return folder


@pytest.mark.parametrize(("sizes", "aligned"), [
    ([(112, 112)] * 3, True), ([(160, 160)] * 3, True), ([(250, 250)] * 3, False), ([(112, 96)] * 3, False),
    ([(112, 112), (96, 96), (112, 112)], False),
])
def test_square_images_of_one_small_size_are_crops(tmp_path: Path, sizes: list[tuple[int, int]], aligned: bool) -> None:
    assert are_aligned(open_faces(write_images(tmp_path / "images", *sizes))) == aligned


def test_crops_of_several_sets_are_divided_and_traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(faces, "MIN_FACES", 100)
    first = write_images(tmp_path / "first", *[(16, 16)] * 90)
    second = write_images(tmp_path / "second", *[(16, 16)] * 60)
    (second / "059.png").write_bytes(b"no image")
    write_faces([first, second], tmp_path / "out", 16)
    train, held_out = ({file.name for file in (tmp_path / "out" / name).iterdir()} for name in ("train", "held-out"))
    assert len(train) + len(held_out) == 149 and not train & held_out
    assert faces.MIN_HELD_OUT - 1 <= len(held_out) <= faces.MIN_HELD_OUT
    rows = (tmp_path / "out" / "images.csv").read_text().splitlines()
    assert rows[0] == "image,source" and len(rows) == 150 and any(str(second / "058.png") in row for row in rows)
    assert "1 of 150 crops cannot be used and were left out" in " ".join(capsys.readouterr().err.split())
    assert not open_faces(tmp_path / "out" / "train").is_labeled


def test_too_few_crops_are_refused(tmp_path: Path) -> None:
    crops = write_images(tmp_path / "few", *[(16, 16)] * 5)
    with pytest.raises(DataError, match="5 usable crops are too few to train a student; give at least 256"):
        write_faces([crops], tmp_path / "out", 16)
    assert not (tmp_path / "out").exists()
