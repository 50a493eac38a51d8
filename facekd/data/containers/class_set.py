"""The class set: an image set of things rather than people, found by the layout in which it lies on disk."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np

from facekd.data.containers.cifar import FORMS, CifarImages, form_of
from facekd.data.containers.image_folder import EXTENSIONS, FolderFaces
from facekd.data.containers.parquet import ParquetImages
from facekd.data.image_set import ImageSet, Subset
from facekd.errors import DataError, nearest

SPLITS = {"train": ("train",), "test": ("test", "val", "validation")}
"""Names of a split's folders or files on disk; the first that is there counts."""

Found = dict[str, list[Path]]
"""What lies there of each split: Parquet files, or one folder; empty where there is nothing."""

_SHARD = re.compile(r"-(\d+)-of-(\d+)(-[0-9a-f]+)?\.parquet")


def open_classes(path: Path | str, split: str) -> ImageSet:
    """Open one split of a class set; in both splits a label means the same class.

    A single Parquet file, and a folder with one subfolder a class, hold one split only: it is given for either name.

    Args:
        path: an unpacked CIFAR archive or the folder that holds one; a folder of Parquet files, or one such file; a
            folder with ``train/CLASS/`` and ``val/CLASS/``, as ImageNet has it; a folder with one subfolder a class.
        split: ``train`` or ``test``; where there is no ``test``, ``val`` or ``validation`` serves.

    Raises:
        DataError: nothing there, no such split, a layout that is none of these, or damaged content.
        SetupError: Parquet without pyarrow installed.
    """
    path = Path(path)
    if split not in SPLITS:
        raise DataError(f"'{split}' is no split of a class set; {nearest(split, list(SPLITS))}")
    if path.suffix == ".parquet" and path.is_file():
        return ParquetImages(path, [path])
    if not path.is_dir():
        state = "is no Parquet file" if path.exists() else "does not exist"
        raise DataError(f"{path} {state}; {_understood()}")
    cifar = _find_cifar(path)
    if cifar is not None:
        return CifarImages(cifar, split)
    for find, open_split in ((_find_parquet, _open_parquet), (_find_folder, _open_folder)):
        found = {name: find(path, name) for name in SPLITS}
        if found[split]:
            return open_split(path, found, split)
        if any(found.values()):
            raise DataError(
                f"{path} has no {split} split, only the other one; put {' or '.join(SPLITS[split])} beside it "
                "(files NAME*.parquet, or a folder NAME/CLASS/ with images: ImageNet's val has to be sorted by synset)"
            )
    if set(_classes_in(path)) <= {name for names in SPLITS.values() for name in names}:
        raise DataError(f"{path} holds no class set; {_understood()}")
    return FolderFaces(path)


def first_classes(images: ImageSet, count: int) -> Subset:
    """The images of the classes 0 to ``count`` - 1, in the set's order, with the names of these classes only.

    Raises:
        DataError: there are not so many classes, or none of their images.
    """
    if not 1 <= count <= images.classes:
        raise DataError(f"{images.path} has {images.classes} classes, not {count}; ask for 1 or more of them")
    kept = Subset(images, np.flatnonzero(images.labels < count))
    if not len(kept):
        raise DataError(f"{images.path} has no image of its first {count} classes; ask for more of them")
    kept.names = images.names[:count]
    return kept


def _understood() -> str:
    lines = [
        f"an unpacked CIFAR archive, or the folder that holds it: {', '.join(form.folder for form in FORMS)}",
        "Parquet in the Hugging Face image layout: one .parquet file, or train*.parquet with test*.parquet "
        "or val*.parquet",
        "train/CLASS/ with val/CLASS/ or test/CLASS/, as ImageNet has it; synsets.tsv beside train/ may name the "
        "classes",
        f"one subfolder a class; endings: {', '.join(sorted(EXTENSIONS))}",
    ]
    return "\n  - ".join(["what is understood (archives unpacked first):", *lines])


def _find_cifar(path: Path) -> Path | None:
    """The folder itself, or the only CIFAR archive right below it."""
    if form_of(path):
        return path
    inside = [path / form.folder for form in FORMS if (path / form.folder).is_dir()]
    if len(inside) > 1:
        names = ", ".join(folder.name for folder in inside)
        raise DataError(f"{path} holds {len(inside)} CIFAR archives ({names}); give the path of one of them")
    return inside[0] if inside else None


def _find_parquet(path: Path, split: str) -> list[Path]:
    """The Parquet files of a split, by name."""
    found = (sorted(path.glob(f"{name}*.parquet")) for name in SPLITS[split])
    return next((files for files in found if files), [])


def _open_parquet(path: Path, found: Found, split: str) -> ImageSet:
    """All shards of one split: a name says how many there are."""
    shards = [_SHARD.search(file.name) for file in found[split]]
    numbers = {(int(shard[1]), int(shard[2])) for shard in shards if shard}
    needed = max((count for _, count in numbers), default=0)
    if numbers and (None in shards or numbers != {(number, needed) for number in range(needed)}):
        raise DataError(
            f"{path} holds {len(shards)} Parquet files of the {split} split, their names promise the shards 0 to "
            f"{needed - 1} of {needed}, each once; complete them, or remove what belongs to another set"
        )
    return ParquetImages(path, found[split], [file for name in SPLITS if name != split for file in found[name]])


def _find_folder(path: Path, split: str) -> list[Path]:
    """The folder of a split, if it holds classes."""
    return [path / name for name in SPLITS[split] if _classes_in(path / name)][:1]


def _open_folder(path: Path, found: Found, split: str) -> ImageSet:
    """One split of an ImageNet-style folder; ``train`` numbers the classes, wherever it is there."""
    images = FolderFaces(found[split][0])
    classes = _classes_in(found["train"][0]) if found["train"] else images.names
    lacking = sorted(set(images.names) - set(classes))
    if lacking:
        raise DataError(
            f"{images.path} holds {len(lacking)} classes that {found['train'][0]} lacks ({', '.join(lacking[:5])}); "
            "give both splits the same subfolders"
        )
    number = {name: label for label, name in enumerate(classes)}
    images.labels = np.array([number[name] for name in images.names], np.int64)[images.labels]
    synsets = path / "synsets.tsv"
    images.names = _words_of(classes, synsets) if synsets.is_file() else classes
    return images


def _classes_in(folder: Path) -> list[str]:
    """The subfolders that `FolderFaces` makes classes of, without listing all of their images."""
    if not folder.is_dir():
        return []
    return sorted(below.name for below in folder.iterdir() if below.is_dir() and _holds_image(below))


def _holds_image(folder: Path) -> bool:
    if folder.name.startswith("."):
        return False
    for _, below, files in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        if any(not file.startswith(".") and os.path.splitext(file)[1].lower() in EXTENSIONS for file in files):
            return True
    return False


def _words_of(classes: list[str], file: Path) -> list[str]:
    """What ``synsets.tsv`` calls the classes; two of ImageNet's are both 'crane', so such get their synset as well."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as problem:
        raise DataError(f"{file} cannot be read ({problem}); correct or remove it") from problem
    words: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        synset, _, text = (part.strip() for part in line.partition("\t"))
        if not synset or not text or synset in words:
            raise DataError(
                f"{file}, line {number}: a synset not named before, a tab and its words are needed; "
                "correct or remove it"
            )
        words[synset] = text
    unnamed = [name for name in classes if name not in words]
    if unnamed:
        raise DataError(f"{file} lacks {len(unnamed)} classes ({', '.join(unnamed[:5])}); add them, or remove the file")
    often = Counter(words[name] for name in classes)
    return [words[name] if often[words[name]] == 1 else f"{words[name]} ({name})" for name in classes]
