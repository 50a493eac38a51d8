from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.data.opening import open_faces, open_pairs
from facekd.evaluation.embedding.plausibility import Separation, check_crops, check_faces, check_pairs
from facekd.models.embedder import Embedder
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import create
from facekd.models.torch_embedder import TorchEmbedder

PEOPLE, VIEWS = 16, 2


class ColorEmbedder(Embedder):
    """Embeds the left upper pixel: a one-hot code of its red value, plus a constant."""

    name, size, dimension, fingerprint = "colors", 2, 256, "colors"

    def __init__(self, constant: float, otherwise: dict[str, Embedder] | None = None) -> None:
        self.constant = constant
        self.otherwise = otherwise or {}

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = np.full((len(crops), 256), self.constant, np.float32)
        rows[np.arange(len(crops)), crops[:, 0, 0, 0]] += 1
        return rows

    def fed_otherwise(self) -> dict[str, Embedder]:
        return self.otherwise


@pytest.fixture
def people() -> list[int]:
    return np.repeat(np.arange(PEOPLE), VIEWS).tolist()


@pytest.fixture
def crops(people: list[int]) -> NDArray[np.uint8]:
    """The red value of each crop is the number of the person."""
    return np.broadcast_to(np.array(people, np.uint8)[:, None, None, None], (len(people), 2, 2, 3)).copy()


def test_a_good_model_is_passed_in_silence(
    crops: NDArray[np.uint8], people: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    result = check_crops(ColorEmbedder(0), crops, people)
    assert result is not None and result.separation.auc == 1 and result.separation.median_cosine == 0
    assert (result.better, result.note, capsys.readouterr().err) == (None, "", "")


def test_a_better_way_is_told_with_its_figures(
    crops: NDArray[np.uint8], people: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    constant = ColorEmbedder(0.0)
    constant.forward = lambda crops: np.ones((len(crops), 256), np.float32)  # type: ignore[method-assign]
    constant.otherwise = {"raw": ColorEmbedder(0), "zero-one": ColorEmbedder(10)}
    result = check_crops(constant, crops, people)
    assert result is not None and result.better == "raw"
    assert "with --pixels raw it would reach median cosine of different people 0.000, AUC 1.000" in result.note
    assert result.note in capsys.readouterr().err
    record = result.to_dict()
    assert record["separation"]["auc"] == 0.5 and record["better_separation"]["auc"] == 1


def test_a_constant_model_without_a_better_way_is_told(crops: NDArray[np.uint8], people: list[int]) -> None:
    result = check_crops(ColorEmbedder(1000), crops, list(range(len(people))))
    assert result is not None and result.better is None
    assert "nearly the same embedding" in result.note


def test_without_labels_the_median_cosine_decides(crops: NDArray[np.uint8], people: list[int]) -> None:
    result = check_crops(ColorEmbedder(1, {"raw": ColorEmbedder(0)}), crops, list(range(len(people))))
    assert result is not None and (result.separation.auc, result.better) == (None, "raw")


@pytest.mark.parametrize(
    ("chosen", "other", "better"),
    [
        (Separation(0.998, 0.675, 0.7), Separation(0.001, 1.0, 5.95), True),  # a strong model, scaled twice
        (Separation(0.168, 0.989, 3.28), Separation(0.001, 1.0, 5.95), True),  # fed -1 to 1 in place of 0 to 1
        (Separation(0.006, 1.0, 5.6), Separation(0.001, 1.0, 5.95), False),
        (Separation(0.873, 0.61, 0.4), Separation(0.602, 0.70, 0.7), False),  # an untrained network
        (Separation(0.998, None, None), Separation(0.464, None, None), True),
        (Separation(0.873, None, None), Separation(0.602, None, None), False),
    ],
)
def test_measured_cases_are_told_apart(chosen: Separation, other: Separation, better: bool) -> None:
    assert other.is_clearly_better(chosen) is better


@pytest.mark.parametrize("architecture", ["iresnet18", "mobilefacenet", "mobilenetv2"])
def test_an_untrained_network_raises_no_alarm(
    architecture: str, small_faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    network = create(architecture, size=32, outputs=32, width=0.25)
    result = check_faces(TorchEmbedder(network), open_faces(small_faces))
    assert result is not None and result.images == 16
    assert capsys.readouterr().err == ""


def test_too_few_images_and_unreadable_ones_say_nothing(crops: NDArray[np.uint8], tmp_path: Path) -> None:
    assert check_crops(ColorEmbedder(0), crops[:4], [0, 0, 1, 1]) is None
    for person in "ab":
        (tmp_path / person).mkdir()
        (tmp_path / person / "1.jpg").write_bytes(b"no image")
    assert check_faces(ColorEmbedder(0), open_faces(tmp_path)) is None


def test_the_public_recogniser_is_told_when_it_is_scaled_twice(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faces, pairs = shared / "faces", shared / "faces" / "cfp"
    teacher = faces / "teacher" / "mobilefacenet_128d.onnx"
    face_set, pair_set = open_faces(faces / "distractors"), open_pairs(pairs / "pairs_ff.csv", pairs)
    right = OnnxEmbedder(teacher)
    for result in (check_faces(right, face_set), check_pairs(right, pair_set)):
        assert result is not None and result.note == ""
    assert capsys.readouterr().err == ""
    wrong = OnnxEmbedder(teacher, pixels="unit")
    for result in (check_faces(wrong, face_set), check_pairs(wrong, pair_set)):
        assert result is not None and result.better == "raw" and "use --pixels raw" in result.note


def test_the_note_names_the_option_of_the_model(shared: Path) -> None:
    wrong = OnnxEmbedder(shared / "faces" / "teacher" / "mobilefacenet_128d.onnx", pixels="unit")
    result = check_faces(wrong, open_faces(shared / "faces" / "distractors"), option="--gallery-input pixels=")
    assert result is not None and "use --gallery-input pixels=raw" in result.note
