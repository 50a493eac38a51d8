"""Sparse parity as images: a class set on which a route of teachers helps a student (the positive control of RCO).

An image is a grid of black and white cells. Its class is the parity of the white cells among a few hidden cells. The
remaining cells carry no information, and neither does any hidden cell without the others (Panigrahi et al., Progressive
Distillation Induces an Implicit Curriculum, ICLR 2025).

    python -m facekd.data.synthetic.parity data/parity0 --problem 0
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.cifar import ARCHIVES, IMAGE_SIZE
from facekd.errors import DataError, FacekdError
from facekd.io import files
from facekd.utils.console import console

GRIDS = (8, 16, 32)
"""The possible sides of the grid: on smaller ones there are so few images that training and test would share many."""

_ARCHIVE = next(archive for archive in ARCHIVES if archive.folder == "cifar-10-batches-bin")
_CLASS_NAMES = ("even", "odd", *(f"unused{number}" for number in range(_ARCHIVE.classes - 2)))


def write_parity(
    folder: Path, *, problem: int = 0, bits: int = 4, cells: int = 8, train: int = 27_000, test: int = 5_000
) -> None:
    """Write a parity problem as a binary CIFAR-10 archive; a recipe opens it with ``data.classes=2``.

    Class 0 is an even number of white cells among the hidden cells, class 1 an odd number. Their row-major
    indices are ``np.random.default_rng(problem).choice(cells * cells, bits, replace=False)``. The cells of all images
    are drawn from the same generator afterwards, so that the files are a function of the arguments.
    A folder that holds the same set already is not changed.

    Args:
        folder: the folder of the archive; it is created, and appears only when the set is complete.
        problem: the seed of the problem, 0 or more.
        bits: the number of hidden cells.
        cells: the side of the grid, one of `GRIDS`.
        train: the number of training images, a multiple of 5, because the archive has five files for them.
        test: the number of test images.

    Raises:
        DataError: a number cannot be used, or the folder holds anything else.
        SetupError: the disk is full.
    """
    _check_numbers(problem, bits, cells, train, test)
    contents = _generate_files(problem, bits, cells, train, test)
    if folder.is_dir() and any(folder.iterdir()):
        if not all(_has_content(folder / name, data) for name, data in contents):
            raise DataError(
                f"{folder} holds other files than this parity set; choose another folder or remove it first"
            )
        return
    with files.atomic_folder(folder, DataError) as temporary:
        for name, data in contents:
            files.write_bytes(temporary / name, data)


def _check_numbers(problem: int, bits: int, cells: int, train: int, test: int) -> None:
    """Raise one DataError that names every number that cannot be used."""
    parts = len(_ARCHIVE.splits["train"])
    problems = []
    if problem < 0:
        problems.append(f"problem must be 0 or more, not {problem}")
    if cells not in GRIDS:
        problems.append(f"cells must be one of {', '.join(map(str, GRIDS))}, not {cells}")
    elif not 1 <= bits <= cells * cells:
        problems.append(f"bits must be 1 to {cells * cells}, the number of cells, not {bits}")
    if train < parts or train % parts:
        problems.append(f"train must be a positive multiple of {parts}, not {train}")
    if test < 1:
        problems.append(f"test must be 1 or more, not {test}")
    if problems:
        raise DataError(f"parity set: {'; '.join(problems)}")


def _generate_files(problem: int, bits: int, cells: int, train: int, test: int) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file. The order of the random draws determines the set: do not reorder them."""
    rng = np.random.default_rng(problem)
    hidden = rng.choice(cells * cells, bits, replace=False)
    yield _ARCHIVE.names_file, "".join(f"{name}\n" for name in _CLASS_NAMES).encode("ascii")
    train_files = _ARCHIVE.splits["train"]
    for name in train_files:
        yield name, _draw_records(rng, train // len(train_files), hidden, cells)
    for name in _ARCHIVE.splits["test"]:
        yield name, _draw_records(rng, test, hidden, cells)


def _draw_records(rng: np.random.Generator, count: int, hidden: NDArray[np.int64], cells: int) -> bytes:
    """Return ``count`` records of a label byte and three equal planes of 1,024 bytes."""
    grids = rng.integers(0, 2, (count, cells * cells), dtype=np.uint8)
    labels = grids[:, hidden].sum(1, dtype=np.int64) % 2
    cell = np.full((1, IMAGE_SIZE // cells, IMAGE_SIZE // cells), 255, np.uint8)
    plane = np.kron(grids.reshape(count, cells, cells), cell).reshape(count, -1)
    return np.concatenate([labels[:, None].astype(np.uint8), plane, plane, plane], axis=1).tobytes()


def _has_content(file: Path, data: bytes) -> bool:
    return file.is_file() and file.read_bytes() == data


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of this module.

    Args:
        argv: the arguments, by default those of the process.
    """
    parser = argparse.ArgumentParser(
        "python -m facekd.data.synthetic.parity", formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="Write a sparse parity problem as a CIFAR-10 archive; train on it with data.classes=2.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder of the archive")
    parser.add_argument("--problem", type=int, default=0, help="seed of the hidden cells and of the images")
    parser.add_argument("--bits", type=int, default=4, help="number of hidden cells")
    parser.add_argument("--cells", type=int, default=8, help=f"side of the grid, one of {', '.join(map(str, GRIDS))}")
    parser.add_argument("--train", type=int, default=27_000, help="number of training images, a multiple of 5")
    parser.add_argument("--test", type=int, default=5_000, help="number of test images")
    args = parser.parse_args(argv)
    try:
        write_parity(args.out, problem=args.problem, bits=args.bits, cells=args.cells, train=args.train, test=args.test)
    except FacekdError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    console().print(f"{args.out} holds {args.train} training and {args.test} test images of parity problem "
                    f"{args.problem}")


if __name__ == "__main__":
    main()
