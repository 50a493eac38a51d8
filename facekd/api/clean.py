"""``facekd clean``: a face set without the images that a model finds far from the person they are labelled as."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from facekd.config.loading import recipe_of
from facekd.data.containers.recordio_writer import pack, refuse_taken
from facekd.data.face_set import FaceSubset
from facekd.data.feature_set import Features
from facekd.data.opening import open_faces
from facekd.data.training_set import open_training
from facekd.errors import DataError
from facekd.evaluation.dataset_quality.label_noise import PAPERS_ANGLE, kept, places
from facekd.evaluation.dataset_quality.near_duplicates import DUPLICATE_ANGLE, MOST, near
from facekd.evaluation.embedding.extract import extract
from facekd.models.loading import load
from facekd.run import Run
from facekd.training import checkpoint
from facekd.training.machine import find_device
from facekd.utils.files import write_bytes

BATCH = 256


@dataclass(frozen=True)
class Cleaning:
    """What `clean` did.

    Attributes:
        out: the folder of the new set.
        way: how a person's direction was found.
        angle: degrees beyond which an image was dropped.
        images: before.
        people: before, those with an image.
        beyond: images dropped for their angle.
        rest: further images, of people with too few left.
        people_left: in the new set.
        duplicates: pairs of people that may be one.
    """

    out: Path
    way: str
    angle: float
    images: int
    people: int
    beyond: int
    rest: int
    people_left: int
    duplicates: int

    def describe(self) -> str:
        """The counts in sentences."""
        left = self.images - self.beyond - self.rest
        more = f", the nearest {MOST:,} of them" if self.duplicates > MOST else ""
        return "\n".join([
            f"{self.out}: {left:,} of {self.images:,} images and {self.people_left:,} of {self.people:,} people are "
            "left",
            f"{self.out / 'dropped.csv'}: {self.beyond:,} images beyond {self.angle:g} degrees of {self.way}, and "
            f"{self.rest:,} more of people with too few left",
            f"{self.out / 'duplicates.csv'}: {self.duplicates:,} pairs of people within {DUPLICATE_ANGLE:g} degrees"
            f"{more}, the nearest first; nothing was merged: look at them",
            f"{self.out / 'embeddings.npy'} serves again where train.*, property and names.txt are removed and another "
            "angle is tried; it is not needed otherwise",
        ])


def clean(faces: Path | str, model: Path | str, out: Path | str, angle: float = PAPERS_ANGLE, fewest: int = 2,
          device: str = "auto") -> Cleaning:
    """Write a face set without images that lie far from their person, and lists of what was dropped and may be double.

    With a run that was trained on this very set under a head of several centres a class (``head.centres=3``), a person
    is their dominant sub-centre, as in Sub-center ArcFace; with any other model the trimmed mean of their images, which
    is ours. See `facekd.evaluation.dataset_quality.label_noise`. Killed and run again, it continues.

    Args:
        faces: the set to clean.
        model: a run, or any model, see `facekd.models.loading.load`.
        out: folder for the new set as RecordIO, ``dropped.csv`` (image, person, angle, reason), ``duplicates.csv`` and
            ``embeddings.npy``.
        angle: degrees beyond which an image is dropped; the default is the paper's choice.
        fewest: people with fewer images left are dropped whole.
        device: for torch models.

    Raises:
        DataError: the set cannot be used, was not what the run's sub-centres were trained on, or nothing would be left;
            ``out`` holds a set already.
        ModelError: no such model.
        SetupError: the disk is full.
    """
    if not 0 < angle < 180 or fewest < 1:
        raise DataError(f"angle {angle:g} and fewest {fewest} cannot be: give 0 to 180 degrees and 1 image or more")
    folder, whole = Path(out), open_faces(faces)
    refuse_taken(folder)
    where = find_device(device)
    embedder, centres = load(model, where), _sub_centres(Path(model), faces)
    features = extract(embedder, whole, folder / "embeddings.npy", flip=False, batch=BATCH)
    found = places(kept(features), whole.labels, whole.identities, embedder.dimension, centres)
    close = near(found.people, None, DUPLICATE_ANGLE, where)
    beyond = found.angles > angle
    left = np.bincount(whole.labels[~beyond], minlength=whole.identities)
    rest = ~beyond & (left < fewest)[whole.labels]
    index = np.flatnonzero(~beyond & ~rest)
    if not len(index):
        raise DataError(f"nothing of {faces} would be left: {beyond.sum():,} of {len(whole):,} images lie beyond "
                        f"{angle:g} degrees, {rest.sum():,} more are of people with fewer than {fewest} left; is "
                        f"{model} a model for faces? If so, allow a larger angle")
    reasons = np.where(beyond, f"beyond {angle:g} degrees", f"fewer than {fewest} images of this person are left")
    _write(folder / "dropped.csv", ("image", "person", "angle", "reason"), (
        (whole.name(i), whole.names[whole.labels[i]], f"{found.angles[i]:.2f}", reasons[i])
        for i in np.flatnonzero(beyond | rest).tolist()))
    images = np.bincount(whole.labels, minlength=whole.identities)
    _write(folder / "duplicates.csv", ("person", "other", "cosine", "images", "others_images"), (
        (whole.names[a], whole.names[b], f"{cosine:.4f}", images[a], images[b])
        for a, b, cosine in zip(close.first.tolist(), close.second.tolist(), close.cosine.tolist(), strict=True)))
    packed = pack(FaceSubset(whole, index), folder)
    way = "the trimmed mean of a person" if centres is None else "a person's dominant sub-centre"
    return Cleaning(folder, way, angle, len(whole), int((images > 0).sum()), int(beyond.sum()), int(rest.sum()),
                    packed.identities, close.count)


def _sub_centres(model: Path, faces: Path | str) -> Features | None:
    """The centres of a run's head, [people, K, dimension]; None where it is no run, or K is 1."""
    run = Run(model)
    if not (model / "run.json").is_file():
        return None
    recipe = recipe_of(model, run.info()["verb"])
    if recipe.head.centres == 1 or (state := checkpoint.newest(run.checkpoints)) is None:
        return None
    trained = open_training(faces, recipe.data, closed=False).images
    if asdict(trained.fingerprint()) != run.info()["faces"]:
        raise DataError(f"{model} was trained on other images than {faces} holds, so its centres are of other people; "
                        f"give the set it was trained on ({recipe.faces}), or {run.model}, whose head is not asked")
    weight = state[1]["method"]["head.weight"].float().numpy()
    return np.asarray(weight.reshape(trained.classes, recipe.head.centres, -1), np.float32)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"))  # as names of folders may be
