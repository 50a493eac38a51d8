"""``facekd convert``: features of one model as those of another, by a map that is fitted on images."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from facekd.api.across.two_models import TwoModels
from facekd.data.face_set import FaceSet
from facekd.data.feature_set import BLOCK_ROWS, FeatureSet
from facekd.data.features.opening import check_feature_path, open_features, write_sidecars
from facekd.data.features.provenance import read_provenance, write_provenance
from facekd.data.opening import open_faces
from facekd.errors import DataError, ModelError
from facekd.evaluation.cross_model.converted_features import ConvertedFeatures
from facekd.evaluation.cross_model.feature_map import FeatureMap, MapFacts, MappedModel, Method, read_map, write_map
from facekd.evaluation.cross_model.fitting import fit, split_rows
from facekd.evaluation.cross_model.held_out import MapResult, measure_map
from facekd.evaluation.embedding.embed import embed_images
from facekd.evaluation.embedding.plausibility import check_faces
from facekd.io import files
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.models.embedder import Embedder
from facekd.models.input_format import InputOptions
from facekd.models.loading import load
from facekd.text import path_text
from facekd.utils.console import notify
from facekd.utils.environment import environment
from facekd.utils.progress import progress_bar


def fit_map(old: Path | str, new: Path | str, images: Path | str, map_file: Path | str, *,
            method: Method | None = None, flip: bool = True, device: str = "auto",
            old_input: InputOptions | None = None, new_input: InputOptions | None = None,
            json: Path | str | None = None) -> MapResult:
    """Fit a map from the embeddings of an old model to those of a new one, and measure it on held-out images.

    Args:
        old: path of the old model, see `facekd.models.loading.load`.
        new: path of the new model.
        images: aligned crops, which both models embed: a face set, or images without labels. With labels a fifth of the
            people, otherwise a fifth of the images is held out.
        map_file: the ``.safetensors`` file to write.
        method: ``ridge`` or ``procrustes``; by default the better one on images that neither was fitted on.
        flip: whether to add the embedding of the mirrored image; the features to convert were embedded alike.
        device: device of the models.
        old_input: how an ``.onnx`` file of the old model is fed, see `InputOptions`.
        new_input: how an ``.onnx`` file of the new model is fed.
        json: a file for the figures.

    Raises:
        DataError: the images cannot be used or are too few, or the method does not fit the models.
        ModelError: a model cannot be loaded, or both are one model.
        SetupError: the map cannot be written, or another process writes it.
    """
    map_file = Path(map_file)
    if map_file.suffix != ".safetensors":
        raise DataError(f"{path_text(map_file)}: a map ends in .safetensors; give such a name by --map")
    check_writable(map_file)
    if json:
        check_writable(json)
    faces = open_faces(images)
    models = TwoModels(load(old, device, **(old_input or {})), load(new, device, **(new_input or {})), None)
    if models.old.fingerprint == models.new.fingerprint:
        raise ModelError(f"{path_text(old)} and {path_text(new)} are one model, whose features need no map; give two "
                         "models")
    with lock_output(map_file), lock_output(json):
        result = _fit(models, faces, method, flip)
        write_map(map_file, result.feature_map)
        if json:
            files.write_json(Path(json), {"kind": "map", **result.to_dict()})
    return result


def _fit(models: TwoModels, faces: FaceSet, method: Method | None, flip: bool) -> MapResult:
    """Fit a map and measure it."""
    labels = faces.labels if faces.is_labeled else None
    split = split_rows(np.arange(len(faces)) if labels is None else labels)
    check_faces(models.old, faces, option="--old-input pixels=")
    check_faces(models.new, faces, option="--new-input pixels=")
    old, new = (embed_images(embedder, faces, flip).astype(np.float64) for embedder in (models.old, models.new))
    fitted = fit(old, new, split, method)
    held_out = split.held_out
    facts = MapFacts(
        old=_facts(models.old), new=_facts(models.new), method=fitted.method, regularization=fitted.regularization,
        flip=flip, images=len(faces) - len(held_out), held_out_images=len(held_out),
        held_out_cosine=float(np.einsum("ij,ij->i", fitted.convert(old[held_out]), new[held_out]).mean()))
    return measure_map(FeatureMap(fitted.matrix, fitted.offset, facts), old[held_out], new[held_out],
                       None if labels is None else labels[held_out], names=models.names)


def _facts(embedder: Embedder) -> MappedModel:
    return MappedModel(name=embedder.name, sha256=embedder.fingerprint, dimension=embedder.dimension,
                       size=embedder.size)


def convert(features: Path | str, out: Path | str, map_file: Path | str) -> int:
    """Write features of an old model as features of a new one, with their labels and names.

    Args:
        features: the features to convert, see `facekd.data.features.opening.open_features`.
        out: ``NAME.npy``, float32 [rows, new dimension], rows of unit length. Labels and names are copied, and
            ``NAME.json`` records the map as the model of these features.
        map_file: a map of `fit_map`.

    Returns:
        the number of rows.

    Raises:
        DataError: the features or the map cannot be used, or the features are of another model than the map is from.
        SetupError: the output cannot be written, or another process writes it.
    """
    feature_map = read_map(Path(map_file))
    rows = open_features(features)
    out = Path(out)
    if out.resolve() == Path(features).resolve():
        raise DataError(f"{path_text(out)} is given as the features and as the output; give another output")
    check_feature_path(out)
    _check_model(rows, feature_map)
    converted = ConvertedFeatures(rows, feature_map)
    with lock_output(out), files.atomic_write(out) as temporary:
        digest = _write_rows(temporary, converted)
        write_sidecars(out, converted.labels, converted.image_names)
        write_provenance(out, _identity(rows, feature_map, digest), feature_map.name, environment())
    return len(rows)


def _check_model(rows: FeatureSet, feature_map: FeatureMap) -> None:
    """Refuse features of another model than the old one of the map, and say what is not known."""
    facts = feature_map.facts
    made = read_provenance(rows.path)
    if made is not None and made.model != facts.old.sha256:
        raise DataError(f"{path_text(rows.path)} is of the model {made.label}, the map is from {facts.old.label}; "
                        "fit a map from that model with 'facekd convert --fit'")
    if rows.dimension != facts.old.dimension:
        raise DataError(f"{path_text(rows.path)} has {rows.dimension} numbers a row, the map is from {facts.old.label} "
                        f"with {facts.old.dimension}; give features of that model")
    if made is None:
        notify(f"whether {path_text(rows.path)} is of {facts.old.label} is not checked: no NAME.json of 'facekd embed' "
               "beside it records the model")
    elif made.flip != facts.flip:
        settings = [f"{'with' if flip else 'without'} mirror images" for flip in (made.flip, facts.flip)]
        notify(f"{path_text(rows.path)} was embedded {settings[0]}, the map was fitted {settings[1]}; fit it alike for "
               "the best result")


def _write_rows(file: Path, features: FeatureSet) -> str:
    """Write features as ``.npy``; return a hexadecimal SHA-256 of the rows."""
    digest = hashlib.sha256()
    array = np.lib.format.open_memmap(file, "w+", np.float32, (len(features), features.dimension))
    with progress_bar("convert", len(features), "rows") as advance:
        for start in range(0, len(features), BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, len(features))
            block = features.read_rows(start, stop)
            array[start:stop] = block
            digest.update(block.tobytes())
            advance(stop - start, "")
    array.flush()
    return digest.hexdigest()


def _identity(rows: FeatureSet, feature_map: FeatureMap, digest: str) -> dict[str, object]:
    """Return the identity of converted features; see `facekd.data.features.provenance`."""
    facts = feature_map.facts
    made = read_provenance(rows.path)
    return {
        "model": feature_map.fingerprint, "size": facts.old.size, "flip": made.flip if made else facts.flip,
        "dtype": "float32", "unit_length": True, "images": made.images if made else f"rows {digest}",
        "rows": len(rows), "dimension": facts.new.dimension, "converted_from": facts.old.sha256,
        "converted_to": facts.new.sha256,
    }
