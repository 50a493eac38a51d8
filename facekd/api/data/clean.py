"""``facekd clean``: a face set without the images that a model places far from their labeled identity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from typing_extensions import Unpack

from facekd.api.data.paths import require_path
from facekd.config.loading import load_run_recipe
from facekd.data.containers.recordio_writer import pack, refuse_existing_set, refuse_source
from facekd.data.face_set import FaceSet, FaceSubset
from facekd.data.feature_set import Features
from facekd.data.opening import open_faces
from facekd.data.training_set import open_training_set
from facekd.data.unlabeled import require_labels
from facekd.errors import DataError
from facekd.evaluation.dataset_quality.label_noise import NOISE_ANGLE, identity_centroids, stored_source
from facekd.evaluation.dataset_quality.near_duplicates import (
    DUPLICATE_ANGLE,
    MAX_PAIRS,
    NearDuplicates,
    find_near_duplicates,
)
from facekd.evaluation.embedding.extract import extract
from facekd.evaluation.types import BoolArray, FloatArray
from facekd.io.csv_table import write_csv
from facekd.io.locks import lock_output
from facekd.models.input_format import InputOptions
from facekd.models.loading import load
from facekd.run import Run
from facekd.training import checkpoint
from facekd.utils.device import resolve_device

BATCH_SIZE = 256


@dataclass(frozen=True)
class Cleaning:
    """The result of `clean`.

    Attributes:
        out: the folder of the new set.
        reference: the reference direction of an identity, in words.
        angle: the angle in degrees above which an image is an outlier.
        image_count: number of images before cleaning.
        identities: number of identities with an image before cleaning.
        outliers: images that were dropped for their angle.
        in_small_identities: further images that were dropped because their identity had too few left.
        remaining_identities: number of identities in the new set.
        duplicates: number of pairs of identities that may be the same person.
    """

    out: Path
    reference: str
    angle: float
    image_count: int
    identities: int
    outliers: int
    in_small_identities: int
    remaining_identities: int
    duplicates: int

    def describe(self) -> str:
        """Return the counts as sentences."""
        remaining = self.image_count - self.outliers - self.in_small_identities
        limit = f", the nearest {MAX_PAIRS:,} of them" if self.duplicates > MAX_PAIRS else ""
        return "\n".join([
            f"{self.out}: {remaining:,} of {self.image_count:,} images and {self.remaining_identities:,} of "
            f"{self.identities:,} identities are left",
            f"{self.out / 'dropped.csv'}: {self.outliers:,} images beyond {self.angle:g} degrees of {self.reference} "
            f"of their identity, and {self.in_small_identities:,} more of identities with too few left",
            f"{self.out / 'duplicates.csv'}: {self.duplicates:,} pairs of identities within {DUPLICATE_ANGLE:g} "
            f"degrees{limit}, the nearest first; nothing was merged: review them",
            f"{self.out / 'embeddings.npy'} is reused if train.*, property and names.txt are removed and another "
            "angle is tried; otherwise it is not needed",
        ])


def clean(faces: Path | str, model: Path | str, out: Path | str, *, angle: float = NOISE_ANGLE, min_images: int = 2,
          device: str = "auto", labels: bool | None = None, **options: Unpack[InputOptions]) -> Cleaning:
    """Write a face set without outlier images, and lists of dropped images and of possible duplicate identities.

    The reference of an identity is its dominant sub-center, as in Sub-center ArcFace, if the model is a run that was
    trained on this set with several centers per class (``head.sub_centers=3``). With any other model it is the trimmed
    mean of the identity's embeddings, which is ours. See `facekd.evaluation.dataset_quality.label_noise`. The same call
    continues after a kill.

    Args:
        faces: the face set to clean.
        model: a run, or any model, see `facekd.models.loading.load`.
        out: folder of the new set as RecordIO, ``dropped.csv`` (image, identity, angle, reason), ``duplicates.csv`` and
            ``embeddings.npy``.
        angle: the angle in degrees above which an image is dropped; the default is that of the paper.
        min_images: identities with fewer remaining images are dropped.
        device: device of the models.
        labels: whether the set has labels, see `facekd.data.opening.open_faces`.
        options: how an ``.onnx`` file is fed, see `facekd.models.input_format.InputOptions`.

    Raises:
        DataError: the set cannot be used, is not the one that the run's sub-centers were trained on, or would be empty;
            ``out`` contains a face set already.
        ModelError: the model cannot be loaded.
        SetupError: the output cannot be written, or another process writes it.
    """
    if not 0 < angle < 180 or min_images < 1:
        raise DataError(f"angle {angle:g} and min_images {min_images} are not valid: give an angle between 0 and 180 "
                        "degrees and at least 1 image")
    folder = require_path(out, "the output")
    face_set = open_faces(require_path(faces, "the face set"), labels=labels)
    require_labels(face_set, "'facekd clean'")
    refuse_source(face_set, folder)
    refuse_existing_set(folder)
    with lock_output(folder):
        return _clean(faces, face_set, model, folder, angle, min_images, device, options)


def _clean(faces: Path | str, face_set: FaceSet, model: Path | str, folder: Path, angle: float, min_images: int,
           device: str, options: InputOptions) -> Cleaning:
    torch_device = resolve_device(device)
    embedder = load(model, device, **options)
    sub_centers = _read_sub_centers(Path(model), faces)
    features = extract(embedder, face_set, folder / "embeddings.npy", flip=False, batch_size=BATCH_SIZE)
    centroids = identity_centroids(stored_source(features), face_set.labels, face_set.num_identities,
                                   embedder.dimension, sub_centers)
    duplicates = find_near_duplicates(centroids.directions, None, DUPLICATE_ANGLE, torch_device)
    is_outlier = centroids.angles > angle
    remaining = np.bincount(face_set.labels[~is_outlier], minlength=face_set.num_identities)
    in_small_identity = ~is_outlier & (remaining < min_images)[face_set.labels]
    retained = np.flatnonzero(~is_outlier & ~in_small_identity)
    if not len(retained):
        raise DataError(f"no image of {faces} would be left: {is_outlier.sum():,} of {len(face_set):,} images are "
                        f"beyond {angle:g} degrees, {in_small_identity.sum():,} more are of identities with fewer than "
                        f"{min_images} left; is {model} a model for faces? If so, allow a larger angle")
    _write_dropped(folder / "dropped.csv", face_set, centroids.angles, is_outlier, in_small_identity,
                   reasons=(f"beyond {angle:g} degrees", f"fewer than {min_images} images of this identity are left"))
    _write_duplicates(folder / "duplicates.csv", face_set, duplicates)
    packed = pack(FaceSubset(face_set, retained), folder)
    return Cleaning(
        out=folder,
        reference="the trimmed mean" if sub_centers is None else "the dominant sub-center",
        angle=angle,
        image_count=len(face_set),
        identities=len(np.unique(face_set.labels)),
        outliers=int(is_outlier.sum()),
        in_small_identities=int(in_small_identity.sum()),
        remaining_identities=packed.identities,
        duplicates=duplicates.count,
    )


def _read_sub_centers(model: Path, faces: Path | str) -> Features | None:
    """Return the sub-centers of a run's head, [identities, K, dimension]; None for other models, and where K is 1."""
    run = Run(model)
    if not (model / "run.json").is_file():
        return None
    recipe = load_run_recipe(model, run.info()["command"])
    if recipe.head.sub_centers == 1:
        return None
    newest = checkpoint.load_newest(run.checkpoints)
    if newest is None:
        return None
    training_images = open_training_set(faces, recipe.data, closed_set=False).images
    if asdict(training_images.fingerprint()) != run.info().get("dataset"):
        raise DataError(f"{model} was trained on other images than those of {faces}, so its centers are of other "
                        f"identities; give its training set ({recipe.dataset}), or {run.model}, whose head is not used")
    weight = newest[1]["method"]["head.weight"].float().numpy()
    return np.asarray(weight.reshape(training_images.num_classes, recipe.head.sub_centers, -1), np.float32)


def _write_dropped(path: Path, face_set: FaceSet, angles: FloatArray, is_outlier: BoolArray,
                   in_small_identity: BoolArray, reasons: tuple[str, str]) -> None:
    rows = []
    for index in np.flatnonzero(is_outlier | in_small_identity).tolist():
        identity = face_set.class_names[face_set.labels[index]]
        reason = reasons[0] if is_outlier[index] else reasons[1]
        rows.append((face_set.image_name(index), identity, f"{angles[index]:.2f}", reason))
    write_csv(path, ("image", "identity", "angle", "reason"), rows)


def _write_duplicates(path: Path, face_set: FaceSet, duplicates: NearDuplicates) -> None:
    counts = np.bincount(face_set.labels, minlength=face_set.num_identities)
    rows = []
    for first, second, cosine in zip(duplicates.first, duplicates.second, duplicates.cosine, strict=True):
        names = face_set.class_names[first], face_set.class_names[second]
        rows.append((*names, f"{cosine:.4f}", counts[first], counts[second]))
    write_csv(path, ("identity", "other_identity", "cosine", "images", "other_images"), rows)
