from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.faceset import FaceSet, open_faces
from facekd.data.pairs import PairSet, open_pairs
from facekd.evaluation.protocols import evaluate_megaface, evaluate_verification
from facekd.models.embedder import Embedder


class Pixels(Embedder):
    """Brightness of a small picture, contrast normalised: about the simplest thing that sees a likeness."""

    name, size, dimension, fingerprint = "pixels", 16, 256, "0" * 64

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        grey = crops.astype(np.float32).mean(axis=3).reshape(len(crops), -1)
        features: NDArray[np.float32] = grey - grey.mean(axis=1, keepdims=True) + 1e-3
        return features


class Memory(FaceSet):
    """People in memory: one noise picture each, every image of a person the same with a little noise on top."""

    def __init__(self, people: int, images: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        base = generator.integers(20, 235, (people, 16, 16, 3))
        self.path = Path("memory")
        self.labels = np.repeat(np.arange(people), images)
        self.names = [str(label) for label in range(people)]
        noise = generator.integers(-15, 16, (len(self.labels), 16, 16, 3))
        self.crops = (base[self.labels] + noise).astype(np.uint8)

    def read(self, index: int) -> bytes:
        return cv2.imencode(".png", self.crops[index])[1].tobytes()

    def where(self, index: int) -> str:
        return f"memory {index}"


def test_megaface_finds_people_who_look_like_themselves() -> None:
    result = evaluate_megaface(Pixels(), Memory(6, 4, seed=0), Memory(40, 1, seed=1))
    assert (result.rank1, result.pairs, result.distractors) == (1.0, 72, 40)


def test_megaface_is_at_chance_when_labels_mean_nothing() -> None:
    probes = Memory(60, 1, seed=0)
    probes.labels = probes.labels // 2
    probes.names = probes.names[:30]
    assert evaluate_megaface(Pixels(), probes, Memory(40, 1, seed=1)).rank1 < 0.15


def test_verification_scores_follow_the_order_of_the_list() -> None:
    faces = Memory(8, 2, seed=0)
    first = np.arange(16)
    second = np.concatenate([np.arange(16)[::2].repeat(2) + [1, 0] * 8])
    second[8:] = np.roll(second[8:], 2)
    pairs = PairSet(Path("pairs"), [faces.read(i) for i in range(16)], first, second,
                    faces.labels[first] == faces.labels[second], np.arange(16) % 2)
    result, scores = evaluate_verification(Pixels(), pairs)
    embeddings = Pixels().embed(faces.crops[..., ::-1])
    assert scores == pytest.approx((embeddings[first] * embeddings[second]).sum(axis=1), abs=1e-6)
    assert result.accuracy == 1.0


def test_flip_reaches_the_model() -> None:
    faces, others = Memory(6, 4, seed=0), Memory(40, 1, seed=1)
    seen = []

    class Counting(Pixels):
        def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
            seen.append(len(crops))
            return super().forward(crops)

    evaluate_megaface(Counting(), faces, others, flip=False)
    assert sum(seen) == 64


def test_pixels_on_real_frontal_faces_lie_where_pixels_lie(shared: Path) -> None:
    pairs = open_pairs(shared / "faces" / "cfp" / "pairs_ff.csv", shared / "faces" / "cfp")
    result, scores = evaluate_verification(Pixels(), pairs)
    assert result.pairs == len(scores) == len(pairs)
    assert 0.58 < result.accuracy < 0.8
    assert result.accuracy_interval[0] < result.accuracy < result.accuracy_interval[1]


def test_pixels_on_real_probes_among_real_distractors(shared: Path) -> None:
    faces = shared / "faces"
    result = evaluate_megaface(Pixels(), open_faces(faces / "cfp"), open_faces(faces / "distractors"), flip=False)
    assert (result.probes, result.identities, result.pairs, result.distractors) == (5600, 400, 400 * 14 * 13, 4021)
    assert 0.01 < result.rank1 < 0.3
    assert result.tar["1e-6"] is not None
