"""``facekd eval ijb``: 1:1 verification and 1:N identification of templates, the protocols of IJB-B and IJB-C."""

from __future__ import annotations

from pathlib import Path

from facekd.api.evaluate.results import save_result
from facekd.data.features.opening import open_features
from facekd.data.ijb.opening import open_ijb
from facekd.errors import DataError
from facekd.evaluation.embedding.extract import read_provenance
from facekd.evaluation.ijb.evaluate import IjbResult, evaluate_ijb
from facekd.models.embedder import Embedder
from facekd.models.loading import load


def ijb(features: Path | str, meta: Path | str, *, model: Path | str | None = None, use_norm_score: bool = True,
        use_detector_score: bool = True, json: Path | str | None = None, name: str | None = None,
        embedder: Embedder | None = None) -> IjbResult:
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

    Raises:
        DataError: features or protocol cannot be used or do not match, or another model made the features.
        ModelError: the model cannot be loaded.
    """
    if embedder is None and model:
        embedder = load(model)
    if embedder and read_provenance(Path(features)).get("model") != embedder.fingerprint:
        raise DataError(f"{features} is not recorded as made by {model}; embed with this model, or leave the model out")
    protocol = open_ijb(Path(meta))
    result = evaluate_ijb(open_features(features), protocol, use_norm_score, use_detector_score)
    content = {
        **result.to_dict(), "features": str(features), "use_norm_score": use_norm_score,
        "use_detector_score": use_detector_score and protocol.detection_scores is not None,
    }
    save_result("ijb", name or Path(meta).resolve().name, content, model=model, embedder=embedder, json=json)
    return result
