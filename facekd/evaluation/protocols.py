"""From a model and a data set to a result: what the evaluation verbs run."""

from __future__ import annotations

import numpy as np

from facekd.data.faceset import FaceSet
from facekd.data.pairs import PairSet
from facekd.evaluation.features import embed_images
from facekd.evaluation.identification import IdentificationResult, identify
from facekd.evaluation.verification import Floats, VerificationResult, verify
from facekd.models.embedder import Embedder


def evaluate_verification(
    embedder: Embedder, pairs: PairSet, flip: bool = True
) -> tuple[VerificationResult, Floats]:
    """Verify a pair list; each distinct image is embedded once.

    Args:
        embedder: the model.
        pairs: the pair list.
        flip: sum the embeddings of image and mirror.

    Returns:
        The result, and float64 [pairs], the cosine similarity of each pair in the list's order.

    Raises:
        DataError: an image cannot be used, or the list lacks genuine or impostor pairs.
    """
    features = embed_images(embedder, pairs.read, pairs.where, len(pairs.images), flip).astype(np.float64)
    scores: Floats = np.einsum("ij,ij->i", features[pairs.first], features[pairs.second])
    return verify(scores, pairs.same, pairs.fold), scores


def evaluate_megaface(
    embedder: Embedder, probes: FaceSet, distractors: FaceSet, flip: bool = True
) -> IdentificationResult:
    """Run the MegaFace protocol with two face sets; the labels of the distractors play no part.

    Args:
        embedder: the model.
        probes: the people to be found, two or more images each.
        distractors: people who are not among the probes.
        flip: sum the embeddings of image and mirror.

    Raises:
        DataError: an image cannot be used, or no person has two probes.
    """
    ours = embed_images(embedder, probes.read, probes.where, len(probes), flip)
    others = embed_images(embedder, distractors.read, distractors.where, len(distractors), flip)
    return identify(ours, probes.labels, others)
