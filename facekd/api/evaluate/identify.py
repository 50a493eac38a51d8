"""``facekd eval search``: a person's own probes searched in a person's own gallery."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from facekd.api.evaluate.results import keep
from facekd.data.feature_set import ArrayFeatures, FeatureSet
from facekd.data.features.opening import open_features
from facekd.data.opening import open_faces
from facekd.errors import DataError
from facekd.evaluation.embedding.embed import embed_images
from facekd.evaluation.identification.open_set import SearchResult
from facekd.evaluation.identification.open_set import search as search_features
from facekd.models.embedder import Embedder
from facekd.models.loading import load
from facekd.training.machine import find_device


def search(probes: Path | str, gallery: Path | str, model: Path | str | None = None, by: str | None = None,
           json: Path | str | None = None, flip: bool = True, device: str = "auto",
           name: str | None = None) -> SearchResult:
    """Search probes in a gallery: rank 1, 5 and 10, and TPIR at FPIR over the probes that are not in it.

    Args:
        probes: features, see `facekd.data.features.opening.open_features`; with ``model`` a face set.
        gallery: likewise; read a block at a time.
        model: see `facekd.models.loading.load`; the people of the two face sets are told apart by their names.
        by: how features say who a row shows: ``folder``, all of its image's name before the last '/', or ``label``. By
            default the folders, where all images of both are named in folders.
        json: a result file to write; a run folder gets one in ``results/`` in any case.
        flip: sum image and mirror.
        device: for torch models.
        name: what the result is called, by default the gallery's file name.

    Raises:
        DataError: probes or gallery cannot be used, or no probe shows a person of the gallery.
        ModelError: no such model.
    """
    embedder = load(model, find_device(device)) if model else None
    if embedder:
        ours, others = (_embedded(embedder, Path(path), flip) for path in (probes, gallery))
        result = search_features(*_labelled(ours, others))
    else:
        ours, others = open_features(probes), open_features(gallery)
        by = by or ("folder" if _in_folders(ours) and _in_folders(others) else "label")
        if by not in ("folder", "label"):
            raise DataError(f"people cannot be told apart by {by!r}; say 'folder' or 'label'")
        result = search_features(*(_labelled(ours, others) if by == "folder" else (ours, others)))
        said = "the folders of their images' names" if by == "folder" else "their labels"
        result = replace(result, notes=(*result.notes, f"people were told apart by {said}"))
    content = {**result.to_dict(), "probes": str(probes), "gallery_from": str(gallery)}
    keep(model, embedder, "search", name or Path(gallery).stem, content, json)
    return result


def _embedded(embedder: Embedder, path: Path, flip: bool) -> FeatureSet:
    """The features of a face set, each named by its person's name as a folder."""
    faces = open_faces(path)
    rows = embed_images(embedder, faces.read, faces.where, len(faces), flip)
    return ArrayFeatures(rows, path, names=[f"{faces.names[label]}/" for label in faces.labels.tolist()])


def _in_folders(features: FeatureSet) -> bool:
    return features.names is not None and all("/" in name for name in features.names)


def _labelled(probes: FeatureSet, gallery: FeatureSet) -> tuple[FeatureSet, FeatureSet]:
    """Label both with the folders of their images' names, in one numbering."""
    folders = []
    for features in (probes, gallery):
        if features.names is None:
            raise DataError(f"{features.path} does not name its rows; write names beside it, or tell people by label")
        folders.append([name.rpartition("/")[0] for name in features.names])
    labels = np.unique(np.concatenate(folders), return_inverse=True)[1]
    probes.labels, gallery.labels = labels[: len(probes)], labels[len(probes) :]
    return probes, gallery
