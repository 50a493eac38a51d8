r"""Measure statistics of the features of a model, from which tools/bench_identification.py makes a synthetic set.

    facekd embed faces/train train.npy --model runs/teacher
    python tools/measure_features.py train.npy results/benchmarks/features-iresnet18.json \
        "iresnet18 on its 1,554 training people"

Writes the length of the mean, the spectrum (falling eigenvalues of the covariance), and 101 quantiles of the scores of
impostors and of mates. Mates are images of identities with 50 images or more, as the probes of MegaFace, and every
identity has the same weight. The statistics identify nobody.
"""

import sys
from pathlib import Path

import numpy as np

from facekd.data.features.opening import open_features
from facekd.io.files import write_json

IMPOSTOR_PAIRS = 2_000_000
MIN_IMAGES = 50
"""Number of images that an identity needs for scores of mates."""


def measure(path: Path, out: Path, source: str) -> None:
    """Measure labeled features, and write the statistics as JSON."""
    opened = open_features(path)
    features, labels = opened.all_l2_normalized_rows().astype(np.float64), opened.labels
    assert labels is not None, f"{path} has no labels next to it"
    mean = features.mean(axis=0)
    spectrum = np.linalg.eigvalsh(np.cov(features.T))[::-1]
    mates = []
    for identity in np.unique(labels):
        images = features[labels == identity]
        if len(images) >= MIN_IMAGES:
            mates.append(np.quantile((images @ images.T)[np.triu_indices(len(images), 1)], np.linspace(0, 1, 101)))
    generator = np.random.default_rng(0)
    first, second = generator.integers(len(features), size=(2, IMPOSTOR_PAIRS))
    differ = labels[first] != labels[second]
    impostors = np.einsum("ij,ij->i", features[first[differ]], features[second[differ]])
    quantiles = np.linspace(0, 1, 101)
    write_json(out, {
        "source": source, "images": len(features), "identities": len(np.unique(labels)),
        "identities_with_mates": len(mates),
        "mean": np.linalg.norm(mean),
        "spectrum": [float(f"{value:.4g}") for value in spectrum],
        "mates": np.quantile(np.concatenate(mates), quantiles).round(4).tolist(),
        "impostors": np.quantile(impostors, quantiles).round(4).tolist(),
    })


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    measure(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
