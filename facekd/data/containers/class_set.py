"""Class sets (CIFAR, ImageNet-style folders, Parquet), recognized by their layout on disk."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np

from facekd.data.containers.cifar import ARCHIVES, CifarImages, identify_archive
from facekd.data.containers.image_folder import EXTENSIONS, FolderFaces
from facekd.data.containers.parquet import ParquetImages
from facekd.data.image_set import ImageSet, Subset
from facekd.errors import DataError, did_you_mean
from facekd.io.reading import read_text
from facekd.text import path_text

SPLITS = {"train": ("train",), "test": ("test", "val", "validation")}
"""Names of the folders or files of each split; the first name that exists is used."""

SplitFiles = dict[str, list[Path]]
"""The files of each split: Parquet files, or one folder; an empty list if the split does not exist."""

_SHARD = re.compile(r"-(\d+)-of-(\d+)(-[0-9a-f]+)?\.parquet")


def open_class_set(path: Path | str, split: str) -> ImageSet:
    """Open one split of a class set. A label means the same class in both splits.

    A single Parquet file and a folder with one subfolder per class have only one split; it is returned for both names.

    Args:
        path: an unpacked CIFAR archive or the folder that contains one; a folder of Parquet files, or one such file; a
            folder with ``train/CLASS/`` and ``val/CLASS/``, as in ImageNet; or a folder with one subfolder per class.
        split: ``train`` or ``test``; if there is no ``test``, ``val`` or ``validation`` is used.

    Raises:
        DataError: the path or the split does not exist, the layout is unknown, or the content is damaged.
        SetupError: the set is Parquet, and pyarrow is not installed.
    """
    path = Path(path)
    if split not in SPLITS:
        raise DataError(f"'{split}' is no split of a class set; {did_you_mean(split, list(SPLITS))}")
    if path.suffix == ".parquet" and os.path.isfile(path):
        return ParquetImages(path, [path])
    if not os.path.isdir(path):
        state = "is no Parquet file" if os.path.exists(path) else "does not exist"
        raise DataError(f"{path_text(path)} {state}; {_supported_layouts()}")
    archive = _find_cifar(path)
    if archive is not None:
        return CifarImages(archive, split)
    for find_split, open_split in ((_find_parquet, _open_parquet), (_find_folder, _open_folder)):
        files = {name: find_split(path, name) for name in SPLITS}
        if files[split]:
            return open_split(path, files, split)
        if any(files.values()):
            raise DataError(
                f"{path} has no {split} split, only the other one; put {' or '.join(SPLITS[split])} next to it "
                "(files NAME*.parquet, or a folder NAME/CLASS/ with images: ImageNet's val has to be sorted by synset)"
            )
    if set(_class_folders(path)) <= {name for names in SPLITS.values() for name in names}:
        raise DataError(f"{path} holds no class set; {_supported_layouts()}")
    return FolderFaces(path)


def first_classes(images: ImageSet, count: int) -> Subset:
    """Return the images of the classes 0 to ``count`` - 1, in the order of the set, with the names of these classes.

    Raises:
        DataError: the set has fewer classes, or no image of these classes.
    """
    if not 1 <= count <= images.num_classes:
        raise DataError(f"{images.path} has {images.num_classes} classes, not {count}; ask for 1 or more of them")
    subset = Subset(images, np.flatnonzero(images.labels < count))
    if not len(subset):
        raise DataError(f"{images.path} has no image of its first {count} classes; ask for more of them")
    subset.class_names = images.class_names[:count]
    return subset


def _supported_layouts() -> str:
    archives = ", ".join(archive.folder for archive in ARCHIVES)
    return (f"these layouts are supported (unpack archives first): a CIFAR archive ({archives}) or the folder that "
            "holds it; Parquet in the Hugging Face image layout, one file or train*.parquet with test*.parquet or "
            "val*.parquet; train/CLASS/ with val/CLASS/ or test/CLASS/ as in ImageNet; one subfolder per class")


def _find_cifar(path: Path) -> Path | None:
    """Return the folder itself if it is a CIFAR archive, or the only CIFAR archive directly in it."""
    if identify_archive(path):
        return path
    folders = [path / archive.folder for archive in ARCHIVES if (path / archive.folder).is_dir()]
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise DataError(f"{path} holds {len(folders)} CIFAR archives ({names}); give the path of one of them")
    return folders[0] if folders else None


def _find_parquet(path: Path, split: str) -> list[Path]:
    """Return the Parquet files of a split, sorted by name."""
    for name in SPLITS[split]:
        if files := sorted(path.glob(f"{name}*.parquet")):
            return files
    return []


def _open_parquet(path: Path, files: SplitFiles, split: str) -> ImageSet:
    """Open all shards of one split, after checking them against the number of shards in their names."""
    matches = [_SHARD.search(file.name) for file in files[split]]
    numbers = {(int(match[1]), int(match[2])) for match in matches if match}
    total = max((count for _, count in numbers), default=0)
    if numbers and (None in matches or numbers != {(number, total) for number in range(total)}):
        raise DataError(
            f"{path} holds {len(matches)} Parquet files of the {split} split, but their names require the shards 0 to "
            f"{total - 1} of {total}, each once; complete them, or remove what belongs to another set"
        )
    other_files = [file for name in SPLITS if name != split for file in files[name]]
    return ParquetImages(path, files[split], other_files)


def _find_folder(path: Path, split: str) -> list[Path]:
    """Return the folder of a split if it contains classes."""
    return [path / name for name in SPLITS[split] if _class_folders(path / name)][:1]


def _open_folder(path: Path, files: SplitFiles, split: str) -> ImageSet:
    """Open one split of an ImageNet-style folder. If ``train`` exists, its subfolders define the labels."""
    images = FolderFaces(files[split][0])
    classes = _class_folders(files["train"][0]) if files["train"] else images.class_names
    unknown = sorted(set(images.class_names) - set(classes))
    if unknown:
        raise DataError(
            f"{images.path} holds {len(unknown)} classes that {files['train'][0]} lacks ({', '.join(unknown[:5])}); "
            "give both splits the same subfolders"
        )
    label_of = {name: label for label, name in enumerate(classes)}
    images.labels = np.array([label_of[name] for name in images.class_names], np.int64)[images.labels]
    synsets = path / "synsets.tsv"
    images.class_names = _synset_words(classes, synsets) if synsets.is_file() else classes
    return images


def _class_folders(folder: Path) -> list[str]:
    """Return the subfolders that `FolderFaces` would use as classes, without listing all of their images."""
    if not folder.is_dir():
        return []
    return sorted(subfolder.name for subfolder in folder.iterdir() if subfolder.is_dir() and _has_image(subfolder))


def _has_image(folder: Path) -> bool:
    if folder.name.startswith("."):
        return False
    for _, subfolders, files in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]  # os.walk skips removed subfolders
        if any(not file.startswith(".") and os.path.splitext(file)[1].lower() in EXTENSIONS for file in files):
            return True
    return False


def _synset_words(classes: list[str], file: Path) -> list[str]:
    """Return the names of the classes from ``synsets.tsv``.

    Names that occur twice get their synset appended: two classes of ImageNet are named 'crane'.
    """
    lines = read_text(file, remedy="correct or remove it").splitlines()
    words: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        synset, _, text = (column.strip() for column in line.partition("\t"))
        if not synset or not text or synset in words:
            raise DataError(
                f"{file}, line {number}: a new synset, a tab and its words are needed; correct or remove it"
            )
        words[synset] = text
    missing = [name for name in classes if name not in words]
    if missing:
        raise DataError(f"{file} lacks {len(missing)} classes ({', '.join(missing[:5])}); add them, or remove the file")
    counts = Counter(words[name] for name in classes)
    return [words[name] if counts[words[name]] == 1 else f"{words[name]} ({name})" for name in classes]
