from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facekd.data.ijb.opening import open_ijb
from facekd.data.ijb.protocol import TemplateProtocol


@pytest.fixture(params=["insightface", "nist"])
def protocol(request: pytest.FixtureRequest) -> TemplateProtocol:
    return open_ijb(request.getfixturevalue(request.param))


def test_images_have_one_template_and_one_medium_each(protocol: TemplateProtocol) -> None:
    assert protocol.template_index.shape == protocol.media.shape == (len(protocol.names),) == (7,)
    assert set(protocol.template_index.tolist()) == set(range(len(protocol.ids)))


def test_templates_are_numbered_in_ascending_order_and_have_a_subject(protocol: TemplateProtocol) -> None:
    assert (np.diff(protocol.ids) > 0).all()
    subjects = dict(zip(protocol.ids.tolist(), protocol.subjects.tolist(), strict=True))
    assert subjects == {10: 5, 7: 6, 20: 5, 21: 6, 22: 8}


def test_frames_of_one_video_are_one_medium(protocol: TemplateProtocol) -> None:
    of_template_10 = protocol.media[protocol.ids[protocol.template_index] == 10]
    assert of_template_10[0] != of_template_10[1] == of_template_10[2]


@pytest.mark.parametrize("indices", [
    lambda protocol: protocol.pairs.first, lambda protocol: protocol.pairs.second, lambda protocol: protocol.probes,
    lambda protocol: np.concatenate(list(protocol.galleries.values())),
], ids=["first", "second", "probes", "galleries"])
def test_pairs_galleries_and_probes_are_indices_of_templates(
    protocol: TemplateProtocol, indices: Callable[[TemplateProtocol], np.ndarray]
) -> None:
    values = indices(protocol)
    assert values.dtype.kind == "i" and len(values)
    assert values.min() >= 0 and values.max() < len(protocol.ids)


def test_pairs_are_labeled_by_the_subjects(protocol: TemplateProtocol) -> None:
    pairs = protocol.pairs
    assert pairs is not None
    assert pairs.same.tolist() == (protocol.subjects[pairs.first] == protocol.subjects[pairs.second]).tolist()


def test_no_template_is_in_a_gallery_and_a_probe(protocol: TemplateProtocol) -> None:
    galleries = {index for gallery in protocol.galleries.values() for index in gallery.tolist()}
    assert galleries and galleries.isdisjoint(protocol.probes.tolist())


def test_the_source_is_the_folder_of_the_files(nist: Path) -> None:
    assert open_ijb(nist).source == nist / "protocols"
