"""``facekd group``: a folder per person from crops without labels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from typing_extensions import Unpack

from facekd.api.data.group_files import write_people, write_sheet, write_table
from facekd.api.data.paths import require_path
from facekd.data.containers.recordio_writer import refuse_source
from facekd.data.face_set import FaceSet
from facekd.data.feature_set import Features
from facekd.data.features.opening import open_features
from facekd.data.opening import open_faces
from facekd.errors import DataError
from facekd.evaluation.dataset_quality.grouping import (
    MIN_COSINE,
    Agreement,
    Grouping,
    compare_with_labels,
    group_rows,
)
from facekd.evaluation.embedding.extract import extract
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.models.input_format import NO_MODEL, InputOptions, refuse_options
from facekd.models.loading import load
from facekd.text import path_text
from facekd.utils.device import resolve_device

DOUBTFUL_MARGIN = 0.1
"""Images whose cosine to their group is higher than to the next one by less than this are doubtful."""
SHEET_IMAGES = 48
"""Number of doubtful images on the sheet, the most doubtful ones first."""
_BATCH_SIZE = 256


@dataclass(frozen=True)
class Grouped:
    """The result of `group`.

    Attributes:
        out: the folder; ``people``, ``groups.csv``, ``doubtful.jpg`` and ``embeddings.npy`` are in it.
        images: number of images.
        people: number of groups.
        alone: number of images in no group.
        doubtful: number of images whose margin is less than `DOUBTFUL_MARGIN`.
        threshold: the mean cosine from which two groups were merged.
        agreement: agreement with the labels of the set; None for a set without labels.
    """

    out: Path
    images: int
    people: int
    alone: int
    doubtful: int
    threshold: float
    agreement: Agreement | None

    def describe(self) -> str:
        """Return the counts as sentences."""
        lines = [
            f"{path_text(self.out / 'people')}: {self.images - self.alone:,} of {self.images:,} images in folders of "
            f"{self.people:,} people (mean cosine of {self.threshold:g} or more); {self.alone:,} images are left alone",
            f"{path_text(self.out / 'groups.csv')}: the group of every image, its cosine to it and to the next group; "
            f"{self.doubtful:,} images are nearer to theirs by less than {DOUBTFUL_MARGIN:g}",
            f"{path_text(self.out / 'doubtful.jpg')}: the most doubtful of them; look at them before you train on "
            "these groups",
        ]
        if self.agreement:
            lines.append(f"against the labels of the set: {self.agreement.describe()}")
        return "\n".join(lines)


def group(crops: Path | str, out: Path | str, *, model: Path | str | None = None, features: Path | str | None = None,
          threshold: float = MIN_COSINE, min_images: int = 2, device: str = "auto", labels: bool | None = None,
          root: Path | str | None = None, **options: Unpack[InputOptions]) -> Grouped:
    """Sort crops into one folder per person, by the embeddings of a model.

    Two groups are merged while the mean cosine of all their pairs is at least ``threshold``
    (`facekd.evaluation.dataset_quality.average_linkage`). The same call continues after a kill.

    Args:
        crops: a set of aligned crops, see `facekd.data.opening.open_faces`. Its labels, if it has any, are not used;
            the groups are compared with them.
        out: folder of ``people`` (PERSON-0001 for the person with most images, ...), ``groups.csv``, ``doubtful.jpg``
            and ``embeddings.npy``.
        model: the model, see `facekd.models.loading.load`; a strong one, such as the teacher.
        features: embeddings of these images in this order, as ``facekd embed`` writes them, in place of a model.
        threshold: the mean cosine from which two groups are merged.
        min_images: the images of smaller groups are left alone.
        device: device of the model and of the comparison.
        labels: whether the set has labels, see `facekd.data.opening.open_faces`.
        root: the folder from which the paths of a text list start.
        options: how an ``.onnx`` file is fed, see `facekd.models.input_format.InputOptions`.

    Raises:
        DataError: the set or the features cannot be used, nothing can be grouped, or an argument is out of range.
        ModelError: the model cannot be loaded.
        SetupError: the output cannot be written, or another process writes it.
    """
    if (model is None) == (features is None):
        raise DataError("give a model that embeds the crops (--model), or their embeddings (--features), and not both")
    if model is None:
        refuse_options(options, NO_MODEL)
    if not 0 < threshold < 1 or min_images < 2:
        raise DataError(f"threshold {threshold:g} and min_images {min_images} are not valid: give a cosine between 0 "
                        "and 1, and at least 2 images")
    folder = require_path(out, "the output")
    faces = open_faces(require_path(crops, "the crops"), labels=labels, root=root)
    refuse_source(faces, folder)
    if os.path.lexists(folder / "people"):
        raise DataError(f"{path_text(folder / 'people')} exists already; remove it to group again (embeddings.npy is "
                        "used again), or choose another folder")
    check_writable(folder, folder=True)
    with lock_output(folder):
        rows = _rows(faces, folder, model, features, device, options)
        grouping = group_rows(rows, threshold, min_images, resolve_device(device))
        if not grouping.people:
            raise DataError(f"no {min_images} images of {path_text(faces.path)} reach a mean cosine of {threshold:g}; "
                            "is the model one for faces, fed as it was trained? If so, set --threshold lower")
        return _write(faces, rows, grouping, folder)


def _rows(faces: FaceSet, folder: Path, model: Path | str | None, features: Path | str | None, device: str,
          options: InputOptions) -> Features:
    """Return the unit embeddings of the set, float32 [images, dimension]."""
    if model is not None:
        embedder = load(model, device, **options)
        feature_set = extract(embedder, faces, folder / "embeddings.npy", flip=False, batch_size=_BATCH_SIZE)
        return feature_set.all_l2_normalized_rows()
    feature_set = open_features(Path(str(features)))
    names = feature_set.image_names
    if len(feature_set) != len(faces) or (names is not None
                                          and any(faces.image_name(i) != name for i, name in enumerate(names))):
        raise DataError(f"{path_text(feature_set.path)} holds {len(feature_set):,} embeddings of other images than the "
                        f"{len(faces):,} of {path_text(faces.path)}; embed this set by 'facekd embed', or give --model")
    return feature_set.all_l2_normalized_rows()


def _write(faces: FaceSet, rows: Features, grouping: Grouping, folder: Path) -> Grouped:
    width = max(4, len(str(grouping.people)))
    names = [f"PERSON-{number:0{width}d}" for number in range(1, grouping.people + 1)]
    margin = grouping.margin
    doubtful = np.flatnonzero(margin < DOUBTFUL_MARGIN)
    doubtful = doubtful[np.argsort(margin[doubtful], kind="stable")]
    write_table(folder / "groups.csv", faces, grouping, names)
    write_sheet(folder / "doubtful.jpg", faces, rows, grouping, doubtful[:SHEET_IMAGES].tolist())
    write_people(folder / "people", faces, grouping, names)  # last: its presence means that all is complete
    agreement = compare_with_labels(grouping.group, faces.labels) if faces.is_labeled else None
    return Grouped(folder, len(faces), grouping.people, grouping.alone, len(doubtful), grouping.min_cosine, agreement)
