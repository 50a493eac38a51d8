from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.config import AugmentationRecipe, DataRecipe
from facekd.data.containers.class_set import open_class_set
from facekd.data.image_set import ImageSet
from facekd.data.synthetic.parity import main, write_parity
from facekd.data.training_set import open_training_set
from facekd.errors import DataError

FILES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin", "batches.meta.txt"]


def read_grids(images: ImageSet, cells: int) -> NDArray[np.uint8]:
    """Whether each cell is white, uint8 [images, cells * cells], after a check that it has one color."""
    side = 32 // cells
    pixels = np.stack([images.pixels(index) for index in range(len(images))])
    blocks = pixels.reshape(len(images), cells, side, cells, side, 3)
    values = blocks[:, :, 0, :, 0, 0]
    assert np.array_equal(blocks, np.broadcast_to(values[:, :, None, :, None, None], blocks.shape))
    assert set(np.unique(values)) == {0, 255}
    white: NDArray[np.uint8] = (values == 255).reshape(len(images), -1).astype(np.uint8)
    return white


def solve_gf2(grids: NDArray[np.uint8], labels: NDArray[np.int64]) -> list[int]:
    """The cells whose sum modulo 2 is the label of every image, by Gaussian elimination; they must be unique."""
    rows = np.concatenate([grids, labels[:, None].astype(np.uint8)], axis=1)
    unknowns = grids.shape[1]
    for column in range(unknowns):
        pivot = column + int(np.argmax(rows[column:, column]))
        assert rows[pivot, column], "the images do not determine the hidden cells"
        rows[[column, pivot]] = rows[[pivot, column]]
        others = rows[:, column].astype(bool)
        others[column] = False
        rows[others] ^= rows[column]
    assert not rows[unknowns:, -1].any(), "no parity explains all labels"
    return [int(cell) for cell in np.flatnonzero(rows[:unknowns, -1])]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(("problem", "bits", "cells"), [(0, 4, 8), (1, 4, 8), (7, 1, 8), (3, 64, 8), (2, 6, 16)])
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_labels_are_the_parity_of_the_published_cells_and_of_no_others(
    tmp_path: Path, problem: int, bits: int, cells: int, split: str
) -> None:
    write_parity(tmp_path / "set", problem=problem, bits=bits, cells=cells, train=600, test=600)
    images = open_class_set(tmp_path / "set", split)
    hidden = np.random.default_rng(problem).choice(cells * cells, bits, replace=False).tolist()
    grids = read_grids(images, cells)
    assert images.labels.tolist() == [sum(int(grid[cell]) for cell in hidden) % 2 for grid in grids]
    assert solve_gf2(grids, images.labels) == sorted(hidden)


def test_the_default_set_is_balanced_and_has_no_image_twice(tmp_path: Path) -> None:
    write_parity(tmp_path / "set")
    train, test = (open_class_set(tmp_path / "set", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (27_000, 5_000)
    for images in (train, test):
        deviation = 5 * np.sqrt(len(images) / 4)  # five standard deviations of a fair coin
        assert abs(int(images.labels.sum()) - len(images) / 2) < deviation
        white = read_grids(images, 8).sum(0)
        assert np.abs(white - len(images) / 2).max() < deviation
    stored = [images.stored_bytes(index) for images in (train, test) for index in range(len(images))]
    assert len(set(stored)) == 32_000


def test_no_single_cell_correlates_with_the_class(tmp_path: Path) -> None:
    write_parity(tmp_path / "set", train=5, test=20_000)
    images = open_class_set(tmp_path / "set", "test")
    agreement = (read_grids(images, 8) == images.labels[:, None]).mean(0)
    assert np.abs(agreement - 0.5).max() < 5 * np.sqrt(0.25 / len(images))


def test_a_recipe_opens_it_with_two_classes(tmp_path: Path) -> None:
    write_parity(tmp_path / "set", train=1000, test=100)
    recipe = DataRecipe(classes=2, val_fraction=0.05, augmentation=AugmentationRecipe(kind="plain"))
    data = open_training_set(tmp_path / "set", recipe, closed_set=True)
    assert data.held_out is not None
    assert data.images.class_names == ["even", "odd"] and data.images.num_classes == 2
    assert (len(data.images), len(data.held_out)) == (950, 50)


def test_the_bytes_do_not_depend_on_the_versions_of_numpy_and_facekd(tmp_path: Path) -> None:
    write_parity(tmp_path / "set", train=50, test=10)
    digest = hashlib.sha256(b"".join((tmp_path / "set" / name).read_bytes() for name in FILES)).hexdigest()
    assert digest == "06fe0f975a776d574295925a67d1d69267103f20c59371cc9584cca0b18f5311"


def test_equal_numbers_give_equal_files_and_any_other_number_different_images(tmp_path: Path) -> None:
    numbers = {"problem": 0, "bits": 4, "cells": 8, "train": 50, "test": 10}
    write_parity(tmp_path / "one", **numbers)
    write_parity(tmp_path / "two", **numbers)
    assert sorted(contents(tmp_path / "one")) == sorted(FILES)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    for key, value in (("problem", 1), ("bits", 5), ("cells", 16), ("train", 55), ("test", 11)):
        write_parity(tmp_path / key, **{**numbers, key: value})
        assert contents(tmp_path / key)["test_batch.bin"] != contents(tmp_path / "one")["test_batch.bin"]


def test_the_same_set_is_left_as_it_is(tmp_path: Path) -> None:
    write_parity(tmp_path / "set", train=50, test=10)
    times = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "set").iterdir()}
    write_parity(tmp_path / "set", train=50, test=10)
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "set").iterdir()} == times
    assert [file.name for file in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("damage", ["another problem", "missing file", "changed byte", "foreign file"])
def test_other_files_are_never_overwritten(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "set"
    write_parity(folder, problem=int(damage == "another problem"), train=50, test=10)
    if damage == "missing file":
        (folder / "data_batch_5.bin").unlink()
    if damage == "changed byte":
        data = bytearray((folder / "test_batch.bin").read_bytes())
        data[-1] ^= 1
        (folder / "test_batch.bin").write_bytes(data)
    if damage == "foreign file":
        for file in folder.iterdir():
            file.unlink()
        (folder / "thesis.tex").write_text("precious", encoding="utf-8")
    before = contents(folder)
    with pytest.raises(DataError, match="set holds other files than this parity set; choose another folder"):
        write_parity(folder, train=50, test=10)
    assert contents(folder) == before


def test_a_file_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("precious", encoding="utf-8")
    with pytest.raises(DataError, match="set exists and is not an empty folder"):
        write_parity(tmp_path / "set", train=50, test=10)
    assert (tmp_path / "set").read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize(("numbers", "text"), [
    ({"problem": -1}, "problem must be 0 or more, not -1"),
    ({"cells": 4}, "cells must be one of 8, 16, 32, not 4"),
    ({"cells": 12}, "cells must be one of 8, 16, 32, not 12"),
    ({"cells": 64}, "cells must be one of 8, 16, 32, not 64"),
    ({"bits": 0}, "bits must be 1 to 64, the number of cells, not 0"),
    ({"bits": 65}, "bits must be 1 to 64, the number of cells, not 65"),
    ({"bits": 257, "cells": 16}, "bits must be 1 to 256"),
    ({"train": 0}, "train must be a positive multiple of 5, not 0"),
    ({"train": -5}, "train must be a positive multiple of 5, not -5"),
    ({"train": 51}, "train must be a positive multiple of 5, not 51"),
    ({"test": 0}, "test must be 1 or more, not 0"),
    ({"bits": 0, "train": 3}, "bits must be .*; train must be "),
])
def test_numbers_that_cannot_be_used_are_refused(tmp_path: Path, numbers: dict[str, int], text: str) -> None:
    with pytest.raises(DataError, match=f"^parity set: {text}"):
        write_parity(tmp_path / "set", **numbers)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_writes_the_set_of_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_parity(tmp_path / "expected", problem=3, bits=5, cells=16, train=25, test=2)
    main([str(tmp_path / "set"), "--problem=3", "--bits=5", "--cells=16", "--train=25", "--test=2"])
    assert "25 training and 2 test images of parity problem 3" in capsys.readouterr().out
    assert contents(tmp_path / "set") == contents(tmp_path / "expected")


def test_the_command_line_reports_an_error_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path / "set"), "--train=7"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "python -m facekd.data.synthetic.parity: parity set: train must be a positive multiple of 5, not 7\n"
    )


def test_the_module_runs_as_a_program() -> None:
    command = [sys.executable, "-W", "error", "-m", "facekd.data.synthetic.parity", "--help"]
    program = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--problem" in program.stdout and program.stderr == ""
