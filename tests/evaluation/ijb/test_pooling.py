from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facekd.data.feature_set import ArrayFeatures
from facekd.data.ijb.protocol import TemplateProtocol
from facekd.errors import DataError
from facekd.evaluation.ijb.pooling import pool_templates, template_pair_scores
from facekd.evaluation.types import Float32Array, FloatArray
from tests.evaluation.toy import unit_rows


def protocol_of(template: list[int], media: list[int], scores: list[float] | None = None) -> TemplateProtocol:
    ids, index = np.unique(template, return_inverse=True)
    return TemplateProtocol(
        Path("meta"), [f"{number}.jpg" for number in range(len(template))], index, np.array(media),
        None if scores is None else np.array(scores, np.float32), ids, ids * 10, None, {}, np.empty(0, np.int64), (),
    )


def random_protocol(seed: int = 0, images: int = 60) -> tuple[Float32Array, TemplateProtocol]:
    """Templates of several media in no order; media numbers occur again in other templates."""
    generator = np.random.default_rng(seed)
    template = generator.permutation(np.arange(images) % 9 + 3).tolist()
    media = generator.integers(0, 4, images).tolist()
    rows = generator.normal(size=(images, 8)).astype(np.float32)
    return rows, protocol_of(template, media, generator.uniform(0.1, 1, images).tolist())


def step_by_step(rows: Float32Array, protocol: TemplateProtocol, norm: bool, detector: bool) -> FloatArray:
    """The published procedure, one template and one medium after the other."""
    wide = rows.astype(np.float64)
    if not norm:
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    if detector and protocol.detection_scores is not None:
        wide *= protocol.detection_scores[:, None]
    pooled = []
    for template in range(len(protocol.ids)):
        images = protocol.template_index == template
        media = np.unique(protocol.media[images])
        total = sum(wide[images & (protocol.media == medium)].mean(axis=0) for medium in media)
        pooled.append(total / np.linalg.norm(total))
    return np.stack(pooled)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("detector", [False, True])
def test_pooled_as_published(norm: bool, detector: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facekd.evaluation.ijb.pooling.BLOCK_ROWS", 7)
    rows, protocol = random_protocol()
    templates, notes = pool_templates(ArrayFeatures(rows), protocol, norm, detector)
    expected = step_by_step(rows, protocol, norm, detector)
    np.testing.assert_allclose(templates.all_l2_normalized_rows(), expected, atol=1e-6)
    assert not notes


def test_templates_carry_their_subjects() -> None:
    rows, protocol = random_protocol()
    templates, _ = pool_templates(ArrayFeatures(rows), protocol)
    assert templates.labels is not None and templates.labels.tolist() == (protocol.ids * 10).tolist()
    assert templates.location(0) == "features, row 0 (template 3)"


def test_rows_are_found_by_name() -> None:
    rows, protocol = random_protocol()
    order = np.random.default_rng(1).permutation(len(rows))
    names = [protocol.names[row] for row in order.tolist()]
    extra = ArrayFeatures(np.concatenate([rows[order], rows[:2]]), image_names=[*names, "a.jpg", "b.jpg"])
    by_name, notes = pool_templates(extra, protocol)
    in_order, _ = pool_templates(ArrayFeatures(rows), protocol)
    np.testing.assert_allclose(by_name.all_l2_normalized_rows(), in_order.all_l2_normalized_rows(), atol=1e-6)
    assert notes == ["2 of 62 features belong to no template and were left out"]


def test_one_row_serves_all_templates_that_name_its_image() -> None:
    protocol = protocol_of([1, 2, 2], [0, 0, 1])
    twice = replace(protocol, names=["a", "a", "b"])
    rows = np.array([[1, 0], [0, 1]], np.float32)
    templates, _ = pool_templates(ArrayFeatures(rows, image_names=["a", "b"]), twice)
    np.testing.assert_allclose(templates.all_l2_normalized_rows(), [[1, 0], [0.5**0.5, 0.5**0.5]], atol=1e-6)


def test_names_that_come_again_in_the_order_of_the_files_are_accepted() -> None:
    protocol = protocol_of([1, 2], [0, 0])
    twice = replace(protocol, names=["a", "a"])
    rows = np.array([[1, 0], [0, 1]], np.float32)
    templates, _ = pool_templates(ArrayFeatures(rows, image_names=["a", "a"]), twice)
    np.testing.assert_allclose(templates.all_l2_normalized_rows(), rows)


def test_missing_detector_scores_are_noted() -> None:
    rows, protocol = np.array([[1, 0], [0, 2]], np.float32), protocol_of([1, 2], [0, 0])
    assert "no detector scores" in pool_templates(ArrayFeatures(rows), protocol)[1][0]
    assert not pool_templates(ArrayFeatures(rows), protocol, use_detector_score=False)[1]


def test_features_of_unit_length_are_noted() -> None:
    rows, protocol = random_protocol()
    assert "unit length already" in pool_templates(ArrayFeatures(unit_rows(rows)), protocol)[1][0]


def test_missing_images_are_named() -> None:
    rows, protocol = random_protocol()
    with pytest.raises(DataError, match=r"lacks 1 images that meta lists: 59\.jpg"):
        pool_templates(ArrayFeatures(rows[:-1], image_names=list(protocol.names[:-1])), protocol)


def test_another_number_of_rows_is_refused() -> None:
    rows, protocol = random_protocol()
    with pytest.raises(DataError, match="59 features without names, meta lists 60 images"):
        pool_templates(ArrayFeatures(rows[:-1]), protocol)


def test_names_that_come_again_in_another_order_are_refused() -> None:
    rows, protocol = random_protocol()
    with pytest.raises(DataError, match="59 rows have the name of another"):
        pool_templates(ArrayFeatures(rows, image_names=["a.jpg"] * 60), protocol)


@pytest.mark.parametrize("norm", [False, True])
def test_rows_that_are_not_finite_are_named(norm: bool) -> None:
    rows, protocol = random_protocol()
    rows[17, 3] = np.nan
    with pytest.raises(DataError, match="row 17"):
        pool_templates(ArrayFeatures(rows), protocol, norm)


def test_templates_that_cancel_out_are_named() -> None:
    rows = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    with pytest.raises(DataError, match="1 templates add up to nothing: 5"):
        pool_templates(ArrayFeatures(rows), protocol_of([5, 5, 6], [0, 1, 2]))


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 200])
def test_pair_scores_are_dot_products(rows: int) -> None:
    generator = np.random.default_rng(rows)
    features = generator.normal(size=(rows, 8)).astype(np.float32)
    first, second = generator.integers(0, rows, (2, 500)).astype(np.int32)
    wide = features.astype(np.float64)
    expected = (wide[first] * wide[second]).sum(axis=1)
    np.testing.assert_allclose(template_pair_scores(features, first, second), expected, atol=1e-5)
