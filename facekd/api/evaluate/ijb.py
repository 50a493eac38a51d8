"""``facekd eval ijb``: 1:1 verification and 1:N identification of templates, the protocols of IJB-B and IJB-C."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import Unpack

from facekd.api.evaluate.results import result_name, result_output, save_result
from facekd.data.features.opening import open_features
from facekd.data.features.provenance import Provenance, read_provenance
from facekd.data.ijb.opening import open_ijb
from facekd.errors import DataError
from facekd.evaluation.ijb.evaluate import IjbResult, evaluate_ijb
from facekd.models.embedder import Embedder
from facekd.models.input_format import MODEL_LOADED, NO_MODEL, InputOptions, refuse_options
from facekd.models.loading import load
from facekd.text import path_text, shorten


def ijb(features: Path | str, meta: Path | str, *, model: Path | str | None = None, use_norm_score: bool = True,
        use_detector_score: bool = True, json: Path | str | None = None, name: str | None = None,
        embedder: Embedder | None = None, **options: Unpack[InputOptions]) -> IjbResult:
    """Evaluate templates 1:1 and 1:N, from the features of their images.

    Args:
        features: see `facekd.data.features.opening.open_features`; one row per image, in the order of the protocol's
            files or with its image names.
        meta: the folder of InsightFace's or NIST's protocol files, see `facekd.data.ijb.opening.open_ijb`.
        model: path of the model that `facekd.api.embed.embed` made the features with; a run folder gets the result in
            ``results/``.
        use_norm_score: whether pooling weights an image by the norm of its feature.
        use_detector_score: whether pooling weights an image by the detector's score, which InsightFace's files contain.
        json: a result file to write.
        name: name of the result, by default the name of the folder.
        embedder: the model of that path, if it is loaded already.
        options: how an ``.onnx`` file was fed, see `facekd.models.input_format.InputOptions`.

    Raises:
        DataError: features or protocol cannot be used or do not match, another model made the features, or the name is
            no plain file name.
        ModelError: the model cannot be loaded.
        SetupError: the result cannot be written, or another process writes it.
    """
    if embedder or not model:
        refuse_options(options, MODEL_LOADED if embedder else NO_MODEL)
    name = result_name(name, Path(meta).resolve().name)
    with result_output("ijb", name, model=model, json=json, inputs=[meta], features=[features]):
        if embedder is None and model:
            embedder = load(model, **options)
        made_by = read_provenance(Path(features))
        if embedder:
            _check_model(features, made_by, embedder)
        protocol = open_ijb(Path(meta))
        result = evaluate_ijb(open_features(features), protocol, use_norm_score, use_detector_score)
        content = {
            **result.to_dict(), "features": str(features), "use_norm_score": use_norm_score,
            "use_detector_score": use_detector_score and protocol.detection_scores is not None,
            "features_model": {"name": made_by.name, "sha256": made_by.model} if made_by else None,
        }
        save_result("ijb", name, content, model=model, embedder=embedder, json=json)
    return result


def _check_model(features: Path | str, made_by: Provenance | None, embedder: Embedder) -> None:
    """Refuse features as the result of a model that is not recorded as theirs."""
    if made_by is None:
        raise DataError(f"no NAME.json of 'facekd embed' beside {path_text(features)} records which model made it; "
                        "embed the images with this model, or leave --model out")
    if made_by.model != embedder.fingerprint:
        raise DataError(f"{path_text(features)} is of the model {made_by.label}, not of {shorten(embedder.name, 60)} "
                        f"({embedder.fingerprint[:8]}); embed the images with this model, or leave --model out")
