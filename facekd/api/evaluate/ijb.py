"""``facekd eval ijb``: verification and search of templates, the protocols of IJB-B and IJB-C."""

from __future__ import annotations

from pathlib import Path

from facekd.api.evaluate.results import keep
from facekd.data.features.opening import open_features
from facekd.data.ijb.opening import open_ijb
from facekd.errors import DataError
from facekd.evaluation.embedding.extract import origin
from facekd.evaluation.ijb.evaluate import IjbResult, evaluate_ijb
from facekd.models.loading import load


def ijb(features: Path | str, meta: Path | str, model: Path | str | None = None, use_norm_score: bool = True,
        use_detector_score: bool = True, json: Path | str | None = None, name: str | None = None) -> IjbResult:
    """Measure templates 1:1 and 1:N, from the features of their images.

    Args:
        features: see `facekd.data.features.opening.open_features`; a row an image, in the order of the protocol's files
            or named as they name the images.
        meta: the folder of InsightFace's or of NIST's files, see `facekd.data.ijb.opening.open_ijb`.
        model: what `facekd.api.embed.embed` made the features with; a run folder gets the result in ``results/``.
        use_norm_score: keep the length of an image's feature when images are pooled.
        use_detector_score: weight an image by the detector's score, where InsightFace's files have it.
        json: a result file to write.
        name: what the result is called, by default the folder's name.

    Raises:
        DataError: features or protocol cannot be used, or do not fit together, or another model made the features.
        ModelError: no such model.
    """
    embedder = load(model) if model else None
    if embedder and origin(Path(features)).get("model") != embedder.fingerprint:
        raise DataError(f"{features} does not say that {model} made it; embed with this model, or leave the model out")
    protocol = open_ijb(Path(meta))
    result = evaluate_ijb(open_features(features), protocol, use_norm_score, use_detector_score)
    content = {**result.to_dict(), "features": str(features), "use_norm_score": use_norm_score,
               "use_detector_score": use_detector_score and protocol.scores is not None}
    keep(model, embedder, "ijb", name or Path(meta).resolve().name, content, json)
    return result
