r"""What a model's features look like, without the features: what tools/bench_identification.py makes its set after.

    facekd embed faces/train train.npy --model runs/teacher
    python tools/measure_features.py train.npy results/benchmarks/features-iresnet18.json \
        "iresnet18 on its 1,554 training people"

Writes the mean's length, the spectrum (eigenvalues of the covariance, falling), and 101 quantiles of the scores of
impostors and of mates: of people with 50 images or more, as MegaFace's probes are, each counting as much as another.
None of it belongs to a person.
"""

import sys
from pathlib import Path

import numpy as np

from facekd.data.features.opening import open_features
from facekd.utils.files import write_json

IMPOSTORS = 2_000_000
IMAGES = 50


def measure(path: Path, out: Path, source: str) -> None:
    """Measure the features of ``path``, which have labels, and write ``out``."""
    opened = open_features(path)
    features, labels = opened.all().astype(np.float64), opened.labels
    assert labels is not None, f"{path} has no labels beside it"
    mean = features.mean(axis=0)
    spectrum = np.linalg.eigvalsh(np.cov(features.T))[::-1]
    mates = []
    for person in np.unique(labels):
        own = features[labels == person]
        if len(own) >= IMAGES:
            mates.append(np.quantile((own @ own.T)[np.triu_indices(len(own), 1)], np.linspace(0, 1, 101)))
    generator = np.random.default_rng(0)
    first, second = generator.integers(len(features), size=(2, IMPOSTORS))
    differ = labels[first] != labels[second]
    impostors = np.einsum("ij,ij->i", features[first[differ]], features[second[differ]])
    quantiles = np.linspace(0, 1, 101)
    write_json(out, {
        "source": source, "images": len(features), "people": len(np.unique(labels)), "people_with_mates": len(mates),
        "mean": np.linalg.norm(mean),
        "spectrum": [float(f"{value:.4g}") for value in spectrum],
        "mates": np.quantile(np.concatenate(mates), quantiles).round(4).tolist(),
        "impostors": np.quantile(impostors, quantiles).round(4).tolist(),
    })


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    measure(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
