"""``facekd eval agree``: how closely a student follows its teacher on images without labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from typing_extensions import Unpack

from facekd.api.evaluate.results import result_name, result_output, save_result
from facekd.api.evaluate.stored_thresholds import find_threshold
from facekd.data.face_set import FaceSet
from facekd.data.opening import open_faces
from facekd.data.transforms import decode_crop
from facekd.errors import DataError, ModelError
from facekd.evaluation.agreement.agree import MIN_IMAGES, PairScores, measure_agreement, paired_cosines
from facekd.evaluation.agreement.pairs import ImagePairs, choose_pairs, similarities
from facekd.evaluation.agreement.result import AgreementResult
from facekd.evaluation.agreement.thresholds import TeacherThreshold, thresholds_of_images
from facekd.evaluation.embedding.embed import embed_images
from facekd.evaluation.statistics.far import parse_far
from facekd.evaluation.types import FloatArray, IntArray
from facekd.io import files
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.models.embedder import Embedder
from facekd.models.input_format import MODEL_LOADED, InputOptions, refuse_options
from facekd.models.loading import load
from facekd.reporting.plots.image_grid import image_grid
from facekd.text import path_text

FARS = ("1e-3", "1e-4")
MAX_PAIRS = 500_000
"""Pairs that are compared unless the user states another number."""
CROP_SIZE = 112
"""Side of the crops in the picture, in pixels."""


def agree(student: Path | str, teacher: Path | str, images: Path | str, *, threshold: float | None = None,
          fars: Sequence[str] = FARS, result: Path | str | None = None, pairs: int = MAX_PAIRS,
          labels: bool | None = None, root: Path | str | None = None, json: Path | str | None = None,
          sheet: Path | str | None = None, flip: bool = True, device: str = "auto", name: str | None = None,
          teacher_options: InputOptions | None = None,
          embedders: tuple[Embedder, Embedder] | None = None, **options: Unpack[InputOptions]) -> AgreementResult:
    """Compare a student with its teacher on images; neither labels nor pairs are needed.

    The cosine of both embeddings is computed for each image if they have equal lengths. The similarities of pairs of
    images are compared by their rank correlation, and by the decisions at thresholds of the teacher: ``threshold``,
    those of ``result``, those that are kept with the teacher, or else those that the teacher has at ``fars`` on the
    images themselves. Without labels all pairs of the images count as different people for that.

    Args:
        student: the model to judge, see `facekd.models.loading.load`.
        teacher: the model that it follows.
        images: a face set of aligned crops, with or without labels, best of photographs that trained neither model.
        threshold: a similarity above which the teacher accepts a pair.
        fars: the false accept rates of the thresholds.
        result: a result file of `facekd.api.evaluate.verify.verify` with the teacher.
        pairs: the largest number of pairs; of more pairs a random sample is compared.
        labels: whether subfolders of ``images`` are people, see `facekd.data.opening.open_faces`.
        root: the folder from which the paths of a list of images start.
        json: a result file to write; a run folder of the student gets one in ``results/`` in any case.
        sheet: a JPEG to write, of the images on which both differ most; a run gets one in ``results/``.
        flip: whether to add the embedding of the mirrored image.
        device: device of the models.
        name: name of the result, by default the name of the image set.
        teacher_options: how the teacher is fed if it is an ``.onnx`` file.
        embedders: student and teacher, if they are loaded already.
        options: how the student is fed if it is an ``.onnx`` file, see `facekd.models.input_format.InputOptions`.

    Raises:
        DataError: the images cannot be used or are too few, or an argument has no effect or is not valid.
        ModelError: a model cannot be loaded.
        SetupError: an output cannot be written, or another process writes it.
    """
    _check_arguments(threshold, fars, result, pairs)
    if embedders:
        refuse_options({**options, **(teacher_options or {})}, MODEL_LOADED)
    name = result_name(name, Path(images).resolve().stem)
    if sheet:
        check_writable(sheet)
    with (result_output("agree", name, model=student, json=json, inputs=(images, teacher, result)),
          lock_output(sheet)):
        student_model, teacher_model = embedders or (load(student, device, **options),
                                                     load(teacher, device, **(teacher_options or {})))
        faces = open_faces(images, labels=labels, root=root)
        known = _known_thresholds(Path(teacher), teacher_model, threshold, fars, Path(result) if result else None, flip)
        measured = _measure(student_model, teacher_model, faces, known, fars, pairs, flip)
        worst = [{"image": faces.image_name(index), "figure": figure} for index, figure in measured.worst]
        content = {**measured.to_dict(), "worst": worst, "flip": flip, "data": str(images), "teacher": str(teacher),
                   "teacher_sha256": teacher_model.fingerprint}
        folder = save_result("agree", name, content, model=student, embedder=student_model, json=json)
        pictures = [Path(sheet)] if sheet else []
        if folder:
            pictures.append(folder / f"agree-{name}.jpg")
        if pictures:
            picture = _draw_worst(faces, measured)
            for file in pictures:
                files.write_bytes(file, picture)
    return measured


def _check_arguments(threshold: float | None, fars: Sequence[str], result: Path | str | None, pairs: int) -> None:
    if threshold is not None and not math.isfinite(threshold):
        raise DataError(f"--threshold {threshold} is no similarity; give a number between -1 and 1")
    if threshold is not None and (result is not None or tuple(fars) != FARS):
        raise DataError("--threshold replaces the thresholds of --far and --result; give one or the other")
    if not fars:
        raise DataError("no false accept rate is given; give one or more, e.g. --far 1e-3, or leave --far out")
    for far in fars:
        parse_far(far)
    if pairs < MIN_IMAGES:
        raise DataError(f"--pairs {pairs} is too few for a correlation; give {MIN_IMAGES} or more, best "
                        f"{MAX_PAIRS:,}")


def _known_thresholds(teacher: Path, embedder: Embedder, threshold: float | None, fars: Sequence[str],
                      result: Path | None, flip: bool) -> list[TeacherThreshold]:
    """Return the thresholds that do not come from the images; those of other views (flip) are left out.

    Raises:
        DataError: ``result`` holds none of the thresholds, or was measured with other views.
    """
    if threshold is not None:
        return [TeacherThreshold(threshold, None, "as given")]
    known = []
    for far in fars:
        found = find_threshold(teacher, embedder, far, result)
        if found and found[1].flip == flip:
            known.append(TeacherThreshold(found[0], far, f"from {found[1].source}"))
    if result is not None and not known:
        views = "without" if flip else "with"
        raise DataError(f"{path_text(result)} holds no threshold at FAR {' or '.join(fars)}, or was measured "
                        f"{views} mirrored images; give --far and {'--no-flip' if flip else 'no --no-flip'} as it was "
                        "measured, or leave --result out")
    return known


def _measure(student: Embedder, teacher: Embedder, faces: FaceSet, known: Sequence[TeacherThreshold],
             fars: Sequence[str], max_pairs: int, flip: bool) -> AgreementResult:
    if len(faces) < MIN_IMAGES:
        raise DataError(f"{path_text(faces.path)} holds {len(faces)} images, agreement is measured on {MIN_IMAGES} "
                        "or more; give more images")
    if student.fingerprint == teacher.fingerprint:
        raise ModelError("student and teacher are the same model; give two models")
    features = embed_images(student, faces, flip), embed_images(teacher, faces, flip)
    pairs = choose_pairs(len(faces), max_pairs)
    scores = PairScores(*(similarities(rows, pairs) for rows in features))
    thresholds, notes = _all_thresholds(known, scores.teacher, pairs, _people(faces), fars)
    return measure_agreement(paired_cosines(*features), (student.dimension, teacher.dimension), pairs, scores,
                             len(faces), thresholds, notes)


def _people(faces: FaceSet) -> IntArray | None:
    """Return the person in each image, int64 [images]; None if the set does not tell people apart."""
    return faces.labels if faces.is_labeled and len(np.unique(faces.labels)) > 1 else None


def _all_thresholds(known: Sequence[TeacherThreshold], similarity: FloatArray, pairs: ImagePairs,
                    people: IntArray | None, fars: Sequence[str]) -> tuple[list[TeacherThreshold], list[str]]:
    """Return the known thresholds, and those of the images at the rates that are not known."""
    missing = [far for far in fars if far not in [threshold.far for threshold in known]]
    if not missing or any(threshold.far is None for threshold in known):
        return list(known), []
    found, notes = thresholds_of_images(similarity, pairs, people, missing)
    return [*known, *found], notes


def _draw_worst(faces: FaceSet, measured: AgreementResult) -> bytes:
    """Return a JPEG of the images on which the models differ most."""
    crops = [(decode_crop(faces.read(index), CROP_SIZE, faces.location(index)), f"{figure:.3f}")
             for index, figure in measured.worst]
    figure = "lowest cosine of student and teacher" if measured.cosine else "largest mean shift of ranks"
    return image_grid(crops, figure)
