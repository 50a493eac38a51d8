from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.face_set import FaceSet
from facekd.data.feature_set import ArrayFeatures
from facekd.data.image_set import ImageSet
from facekd.data.image_set import Pixels as Image
from facekd.data.opening import open_faces, open_pairs
from facekd.data.pairs.pair_set import PairSet
from facekd.data.transforms import centre
from facekd.errors import DataError
from facekd.evaluation.embedding.embed import embed_images
from facekd.evaluation.identification.identify import identify
from facekd.evaluation.identification.result import IdentificationResult
from facekd.evaluation.protocols import evaluate_classification, evaluate_verification
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


def identified(probes: FaceSet, distractors: FaceSet) -> IdentificationResult:
    ours, others = (ArrayFeatures(embed_images(Pixels(), faces.read, faces.where, len(faces)), labels=faces.labels)
                    for faces in (probes, distractors))
    found = identify(ours, others)
    assert found is not None
    return found


def test_megaface_finds_people_who_look_like_themselves() -> None:
    result = identified(Memory(6, 4, seed=0), Memory(40, 1, seed=1))
    assert (result.rank1, result.pairs, result.distractors) == (1.0, 72, 40)


def test_megaface_is_at_chance_when_labels_mean_nothing() -> None:
    probes = Memory(60, 1, seed=0)
    probes.labels = probes.labels // 2
    probes.names = probes.names[:30]
    assert identified(probes, Memory(40, 1, seed=1)).rank1 < 0.15


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


class Colours(ImageSet):
    """Images of any size: class k is bright in channel k on the left half."""

    def __init__(self, images: int = 150, sides: tuple[int, int] = (16, 16)) -> None:
        self.path = Path("colours")
        self.labels = np.arange(images) % 3
        self.names = ["red", "green", "blue"]
        self.images: Image = np.random.default_rng(0).integers(0, 60, (images, *sides, 3), np.uint8)
        self.images[np.arange(images), :, : sides[1] // 2, self.labels] += 90

    def pixels(self, index: int) -> Image:
        image: Image = self.images[index]
        return image

    def content(self, index: int) -> bytes:
        return self.pixels(index).tobytes()

    def where(self, index: int) -> str:
        return f"colour {index}"


class Channels(Embedder):
    """Mean of every channel in the left half as the logit of a class."""

    name, dimension, fingerprint = "channels", 3, "0" * 64

    def __init__(self, size: int = 16) -> None:
        self.size = size

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert crops.shape[1:] == (self.size, self.size, 3)
        logits: NDArray[np.float32] = crops[:, :, : self.size // 2].mean(axis=(1, 2)).astype(np.float32)
        return logits


def test_classes_that_a_model_knows_are_found() -> None:
    result = evaluate_classification(Channels(), Colours())
    assert (result.top1, result.images, result.classes, result.agreement) == (1.0, 150, 3, None)
    assert result.per_class == {"red": 1.0, "green": 1.0, "blue": 1.0}


def test_the_logits_are_those_of_the_centre_view() -> None:
    images = Colours(90, (30, 22))
    views = np.stack([centre(images.pixels(index), 16) for index in range(90)])
    logits = Channels().forward(views).astype(np.float64)
    nll = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(90), images.labels]
    assert evaluate_classification(Channels(), images).nll == pytest.approx(nll.mean(), rel=1e-9)


def test_a_teacher_of_another_size_sees_its_own_view() -> None:
    result = evaluate_classification(Channels(16), Colours(150, (40, 30)), Channels(24))
    assert result.agreement == 1.0 and result.kl is not None and 0 < result.kl < 1


def test_with_flip_the_logits_are_the_mean_of_image_and_mirror() -> None:
    images = Colours()
    logits = (Channels().forward(images.images) + Channels().forward(images.images[:, :, ::-1])).astype(np.float64) / 2
    nll = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(150), images.labels]
    assert evaluate_classification(Channels(), images, flip=True).nll == pytest.approx(nll.mean(), abs=1e-6)


def test_a_classifier_of_other_classes_is_refused() -> None:
    images = Colours()
    images.names.append("violet")
    with pytest.raises(DataError, match="channels has 3 outputs, colours has 4 classes"):
        evaluate_classification(Channels(), images)


def test_a_teacher_of_other_classes_is_refused() -> None:
    with pytest.raises(DataError, match="pixels has 256 outputs, colours has 3 classes"):
        evaluate_classification(Channels(), Colours(), Pixels())


def test_pixels_on_real_frontal_faces_lie_where_pixels_lie(shared: Path) -> None:
    pairs = open_pairs(shared / "faces" / "cfp" / "pairs_ff.csv", shared / "faces" / "cfp")
    result, scores = evaluate_verification(Pixels(), pairs)
    assert result.pairs == len(scores) == len(pairs)
    assert 0.58 < result.accuracy < 0.8
    assert result.accuracy_interval[0] < result.accuracy < result.accuracy_interval[1]


def test_pixels_on_real_probes_among_real_distractors(shared: Path) -> None:
    faces = shared / "faces"
    result = identified(open_faces(faces / "cfp"), open_faces(faces / "distractors"))
    assert (result.probes, result.identities, result.pairs, result.distractors) == (5600, 400, 400 * 14 * 13, 4021)
    assert 0.01 < result.rank1 < 0.3
    assert result.tar["1e-6"] is not None
