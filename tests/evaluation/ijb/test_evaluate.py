from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facekd.data.feature_set import ArrayFeatures
from facekd.data.ijb.protocol import TemplatePairs, TemplateProtocol
from facekd.evaluation.ijb.evaluate import evaluate_ijb


@pytest.fixture
def protocol() -> TemplateProtocol:
    """20 people: 10 in each gallery with a template of three images, and two probes of two images each."""
    subjects = np.concatenate([np.arange(20), np.repeat(np.arange(20), 2)])
    template = np.concatenate([np.repeat(np.arange(20), 3), np.repeat(np.arange(20, 60), 2)])
    first, second = (side.ravel().astype(np.int32) for side in np.meshgrid(np.arange(20), np.arange(20, 60)))
    return TemplateProtocol(
        Path("meta"), [f"{image}.jpg" for image in range(len(template))], template, np.arange(len(template)) % 2, None,
        np.arange(60), subjects, TemplatePairs(Path("pairs"), first, second, subjects[first] == subjects[second]),
        {"G1": np.arange(10), "G2": np.arange(10, 20)}, np.arange(20, 60), ("of the protocol",),
    )


@pytest.fixture
def features(protocol: TemplateProtocol) -> ArrayFeatures:
    """Images of people so well separated that every mistake would be one of the evaluation."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(20, 64))[protocol.subjects[protocol.template_index]]
    return ArrayFeatures((rows + 0.1 * generator.normal(size=rows.shape)).astype(np.float32))


def test_well_separated_people_are_verified_and_identified(protocol: TemplateProtocol, features: ArrayFeatures) -> None:
    result = evaluate_ijb(features, protocol, fars=("1e-2",), fpirs=("0.1",), resamples=5)
    assert result.verification is not None
    assert result.verification.tar == {"1e-2": 1.0}
    assert (result.verification.genuine, result.verification.impostors) == (40, 760)
    assert {name: (gallery.rank[1], gallery.tpir["0.1"]) for name, gallery in result.identification.items()} == {
        "G1": (1.0, 1.0), "G2": (1.0, 1.0), "mean": (1.0, 1.0),
    }
    assert (result.identification["G1"].mated, result.identification["G1"].unmated) == (20, 20)


def test_wrong_images_in_one_gallery_cost_that_gallery(protocol: TemplateProtocol, features: ArrayFeatures) -> None:
    rows = features.all_l2_normalized_rows()
    rows[:3] = np.random.default_rng(1).normal(size=(3, 64))  # the template of person 0, in G1
    result = evaluate_ijb(ArrayFeatures(rows), protocol, fars=("1e-2",), fpirs=("0.1",), resamples=5)
    assert [result.identification[name].rank[1] for name in ("G1", "G2", "mean")] == pytest.approx([0.9, 1.0, 0.95])


def test_what_the_protocol_lacks_is_left_out(protocol: TemplateProtocol, features: ArrayFeatures) -> None:
    without_pairs = replace(protocol, pairs=None)
    assert evaluate_ijb(features, without_pairs, resamples=5).verification is None
    assert evaluate_ijb(features, replace(protocol, galleries={}), resamples=5).identification == {}


def test_the_result_can_be_written_and_read(protocol: TemplateProtocol, features: ArrayFeatures) -> None:
    result = evaluate_ijb(features, protocol, use_detector_score=False, resamples=5)
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert content["identification"]["mean"]["galleries"] == 2
    lines = result.describe().splitlines()
    assert lines[0] == "60 templates of 140 images"
    assert "1:N, mean" in lines
    assert lines[-1] == "of the protocol"
