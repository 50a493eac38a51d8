"""``facekd eval identify``: open-set identification of probes in a gallery."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from facekd.api.evaluate.options import FROM_FEATURES, model_options
from facekd.api.evaluate.results import result_name, result_output, save_result
from facekd.data.feature_set import ArrayFeatures, FeatureSet
from facekd.data.features.opening import open_features
from facekd.data.opening import open_faces
from facekd.errors import DataError
from facekd.evaluation.embedding.embed import embed_images
from facekd.evaluation.embedding.mixed_models import check_different_paths, check_different_sets, match_models
from facekd.evaluation.embedding.plausibility import check_faces
from facekd.evaluation.identification.open_set import identify_open_set
from facekd.evaluation.identification.open_set_result import OpenSetResult
from facekd.models.embedder import Embedder
from facekd.models.input_format import NO_MODEL, InputOptions, refuse_options
from facekd.models.loading import load
from facekd.text import path_text, short_repr


def identify(probes: Path | str, gallery: Path | str, *, model: Path | str | None = None,
             identity_from: str | None = None, across: bool = False, json: Path | str | None = None, flip: bool = True,
             device: str = "auto", name: str | None = None, **options: Unpack[InputOptions]) -> OpenSetResult:
    """Identify probes in a gallery: rank 1, 5 and 10, and TPIR at FPIR over the probes without a mate.

    Args:
        probes: a face set; without a model features, see `facekd.data.features.opening.open_features`.
        gallery: a face set; without a model features, which are read in blocks.
        model: path of the model, see `facekd.models.loading.load`; identities of the two face sets match by name.
        identity_from: the identity of a feature row: ``folder``, its image's name up to the last '/', or ``label``. By
            default the folder, if all images of both files have names with folders.
        across: whether the features are meant to be of different models, for example probes of a student and the
            gallery of its teacher; without it that is refused.
        json: a result file to write; a run folder gets one in ``results/`` in any case.
        flip: whether to add the embedding of the mirrored image.
        device: device of the models.
        name: name of the result, by default the file name of the gallery.
        options: how an ``.onnx`` file is fed, see `facekd.models.input_format.InputOptions`.

    Raises:
        DataError: probes or gallery cannot be used, are of different models, or are one and the same set; no probe has
            a mate in the gallery; an argument has no effect; or the name is no plain file name.
        ModelError: the model cannot be loaded.
        SetupError: the result cannot be written, or another process writes it.
    """
    if model:
        refuse_options({"identity-from": identity_from, "across": across or None}, FROM_FEATURES)
    else:
        refuse_options({**options, **model_options(flip, device)}, NO_MODEL)
    name = result_name(name, Path(gallery).stem)
    features = () if model else (probes, gallery)
    with result_output("identify", name, model=model, json=json, inputs=(probes, gallery), features=features):
        check_different_paths(probes, gallery, "gallery")
        embedder = load(model, device, **options) if model else None
        plausibility = check_faces(embedder, open_faces(probes, labels=True)) if embedder else None
        if embedder:
            result = _identify_faces(embedder, Path(probes), Path(gallery), flip)
            match = None
        else:
            probe_features, gallery_features = open_features(probes), open_features(gallery)
            match = match_models(probe_features, gallery_features, "gallery", across=across)
            result = _identify_features(probe_features, gallery_features, identity_from)
            result = replace(result, notes=(*match.notes, *result.notes))
        content = {**result.to_dict(), "probes": str(probes), "gallery_from": str(gallery), "across": across,
                   "models": match.models if match else None,
                   "plausibility": plausibility.to_dict() if plausibility else None}
        save_result("identify", name, content, model=model, embedder=embedder, json=json)
    return result


def _identify_faces(embedder: Embedder, probes: Path, gallery: Path, flip: bool) -> OpenSetResult:
    probe_features, gallery_features = (embed_face_set(embedder, path, flip) for path in (probes, gallery))
    check_different_sets(probe_features, gallery_features, "gallery")
    return identify_open_set(*label_by_folder(probe_features, gallery_features))


def _identify_features(probes: FeatureSet, gallery: FeatureSet, identity_from: str | None) -> OpenSetResult:
    check_different_sets(probes, gallery, "gallery")
    if identity_from is None:
        identity_from = "folder" if _has_folders(probes) and _has_folders(gallery) else "label"
    if identity_from not in ("folder", "label"):
        raise DataError(f"identities cannot be read from {short_repr(identity_from)}; use 'folder' or 'label'")
    if identity_from == "folder":
        result = identify_open_set(*label_by_folder(probes, gallery))
        note = "identities are the folders of the image names"
    else:
        result = identify_open_set(probes, gallery)
        note = "identities are the labels"
    return replace(result, notes=(*result.notes, note))


def embed_face_set(embedder: Embedder, path: Path, flip: bool) -> FeatureSet:
    """Return the features of a face set; the image name of a row is the name of its identity as a folder."""
    faces = open_faces(path, labels=True)
    rows = embed_images(embedder, faces, flip)
    names = [f"{faces.class_names[label]}/" for label in faces.labels.tolist()]
    return ArrayFeatures(rows, path, image_names=names)


def _has_folders(features: FeatureSet) -> bool:
    return features.image_names is not None and all("/" in name for name in features.image_names)


def label_by_folder(probes: FeatureSet, gallery: FeatureSet) -> tuple[FeatureSet, FeatureSet]:
    """Return both sets with the folders of their image names as labels, numbered in common."""
    folders = [*_folders(probes), *_folders(gallery)]
    labels = np.unique(folders, return_inverse=True)[1]
    return _with_labels(probes, labels[: len(probes)]), _with_labels(gallery, labels[len(probes) :])


def _folders(features: FeatureSet) -> list[str]:
    if features.image_names is None:
        raise DataError(f"{path_text(features.path)} does not name its rows; write image names next to it, or use "
                        "labels")
    return [name.rpartition("/")[0] for name in features.image_names]


def _with_labels(features: FeatureSet, labels: NDArray[np.int64]) -> FeatureSet:
    labeled = copy.copy(features)  # shares the rows
    labeled.labels = labels
    return labeled
