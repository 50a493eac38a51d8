from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from facekd.data.feature_set import FeatureSet
from facekd.data.features.opening import write_features
from facekd.data.features.provenance import write_provenance
from facekd.data.megaface.noise_lists import NoiseList, NoiseLists
from facekd.errors import DataError
from facekd.evaluation.megaface.protocol import MegaFaceInputs, megaface_tests
from facekd.evaluation.types import Float32Array
from tests.evaluation.toy import MeanColors, unit_rows

PEOPLE, IMAGES, DISTRACTORS = 3, 4, 20
PROBE_NAMES = [f"person{number // IMAGES}/{number}.png" for number in range(PEOPLE * IMAGES)]
DISTRACTOR_NAMES = [f"1/2/{number}.png" for number in range(DISTRACTORS)]
NOISE = NoiseLists(NoiseList(Path("facescrub_noises.txt"), ("5.png",), 1),
                   NoiseList(Path("megaface_noises.txt"), ("1/2/4.png", "1/2/7.png"), 3))


def random_rows(count: int, seed: int) -> Float32Array:
    return unit_rows(np.random.default_rng(seed).normal(size=(count, 6)))


@pytest.fixture
def inputs(tmp_path: Path) -> MegaFaceInputs:
    """Features with labels and names."""
    labels = np.repeat(np.arange(PEOPLE), IMAGES)
    write_features(tmp_path / "probes.npy", random_rows(PEOPLE * IMAGES, 0), labels, PROBE_NAMES)
    write_features(tmp_path / "distractors.npy", random_rows(DISTRACTORS, 1), None, DISTRACTOR_NAMES)
    return MegaFaceInputs(tmp_path / "probes.npy", tmp_path / "distractors.npy")


@pytest.fixture
def template_lists(tmp_path: Path) -> Path:
    """The probes in reverse order, and the first 10 and all 20 distractors as two sizes."""
    folder = tmp_path / "templatelists"
    folder.mkdir()
    paths = PROBE_NAMES[::-1]
    content = {"path": paths, "id": [path.split("/")[0] for path in paths]}
    (folder / "facescrub_features_list.json").write_text(json.dumps(content))
    for size in (10, DISTRACTORS):
        content = {"path": DISTRACTOR_NAMES[:size]}
        (folder / f"megaface_features_list.json_{size}_1").write_text(json.dumps(content))
    return folder


def unit(features: FeatureSet) -> Float32Array:
    return features.all_l2_normalized_rows()


def test_a_single_test_has_no_title(inputs: MegaFaceInputs) -> None:
    (test,) = megaface_tests(inputs, None, "all", int8=False)
    assert (test.title, test.precision, test.filtered.mode) == ("", "float", "raw")
    assert (test.listed_probes, test.listed_distractors) == (PEOPLE * IMAGES, DISTRACTORS)
    np.testing.assert_array_equal(unit(test.probes), random_rows(PEOPLE * IMAGES, 0))


def test_every_mode_of_the_noise_lists_is_a_test(inputs: MegaFaceInputs) -> None:
    tests = list(megaface_tests(inputs, NOISE, "all", int8=False))
    assert [test.title for test in tests] == ["raw", "compatible", "strict"]
    assert [(len(test.probes), len(test.distractors)) for test in tests] == [(12, 20), (12, 18), (11, 18)]
    assert all((test.listed_probes, test.listed_distractors) == (12, 20) for test in tests)


def test_a_single_mode_is_not_in_the_title(inputs: MegaFaceInputs) -> None:
    assert [test.title for test in megaface_tests(inputs, NOISE, "strict", int8=False)] == [""]


def test_int8_rounds_the_probes_then_both(inputs: MegaFaceInputs) -> None:
    tests = list(megaface_tests(inputs, None, "raw", int8=True))
    assert [test.title for test in tests] == ["", "int8-probes", "int8"]
    exact, rounded = random_rows(PEOPLE * IMAGES, 0), [unit(test.probes) for test in tests]
    assert np.array_equal(rounded[0], exact) and not np.array_equal(rounded[1], exact)
    assert np.array_equal(rounded[1], rounded[2]) and rounded[1] == pytest.approx(exact, abs=0.01)
    assert np.array_equal(unit(tests[1].distractors), random_rows(DISTRACTORS, 1))
    assert not np.array_equal(unit(tests[2].distractors), random_rows(DISTRACTORS, 1))


def test_lists_give_the_order_the_labels_and_the_sizes(inputs: MegaFaceInputs, template_lists: Path) -> None:
    tests = list(megaface_tests(replace(inputs, template_lists=template_lists), None, "all", int8=False))
    assert [(test.title, len(test.distractors)) for test in tests] == [("10", 10), ("20", 20)]
    for test in tests:
        np.testing.assert_array_equal(unit(test.probes), random_rows(PEOPLE * IMAGES, 0)[::-1])
        assert test.probes.labels is not None
        assert test.probes.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    (single,) = megaface_tests(replace(inputs, template_lists=template_lists, sizes=[10]), None, "all", int8=False)
    assert (single.title, single.listed_distractors) == ("", 10)


@pytest.fixture
def image_inputs(tmp_path: Path, template_lists: Path) -> MegaFaceInputs:
    """Images at the paths of the lists."""
    generator = np.random.default_rng(2)
    for name in (*PROBE_NAMES, *DISTRACTOR_NAMES):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), generator.integers(0, 256, (8, 8, 3), np.uint8))
    folder = tmp_path / "images"
    return MegaFaceInputs(folder, folder, MeanColors(), template_lists=template_lists, sizes=[10])


def test_images_are_embedded_in_memory_or_into_files(image_inputs: MegaFaceInputs, tmp_path: Path) -> None:
    (in_memory,) = megaface_tests(image_inputs, None, "all", int8=False)
    prefix = tmp_path / "features" / "test"
    (in_files,) = megaface_tests(replace(image_inputs, feature_prefix=prefix), None, "all", int8=False)
    files = sorted(path.name for path in prefix.parent.glob("*.npy") if "labels" not in path.name)
    assert files == ["test-distractors-10.npy", "test-probes.npy"]
    assert unit(in_memory.probes) == pytest.approx(unit(in_files.probes), abs=1e-6)
    assert unit(in_memory.distractors) == pytest.approx(unit(in_files.distractors), abs=1e-6)
    assert in_memory.probes.labels is not None and in_files.probes.labels is not None
    assert in_memory.probes.labels.tolist() == in_files.probes.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_an_unknown_mode_is_refused(inputs: MegaFaceInputs) -> None:
    with pytest.raises(DataError, match="noise mode 'stricter' is not known"):
        list(megaface_tests(inputs, NOISE, "stricter", int8=False))


def test_a_set_without_lists_is_refused(inputs: MegaFaceInputs, template_lists: Path) -> None:
    """It gave no result, without a word."""
    with pytest.raises(DataError, match="has no distractor list of set 99"):
        list(megaface_tests(replace(inputs, template_lists=template_lists, set_index=99), None, "all", int8=False))


def test_sets_of_different_models_are_refused(inputs: MegaFaceInputs) -> None:
    for path, model in ((inputs.probes, "5"), (inputs.distractors, "7")):
        write_provenance(path, {"model": model * 64, "flip": True, "size": 8, "images": model, "rows": 1}, model, {})
    with pytest.raises(DataError, match=r"are of the model 5 \(55555555\), the distractors .* of 7 \(77777777\)"):
        list(megaface_tests(inputs, None, "all", int8=False))
    (test,) = megaface_tests(replace(inputs, across=True), None, "all", int8=False)
    assert test.model_notes[0].startswith("across models: the probes are of 5")
    assert test.models == {"probes": {"name": "5", "sha256": "5" * 64},
                           "distractors": {"name": "7", "sha256": "7" * 64}}


def test_probes_are_no_distractors(inputs: MegaFaceInputs) -> None:
    with pytest.raises(DataError, match="probes and distractors are one and the same set"):
        list(megaface_tests(replace(inputs, distractors=inputs.probes), None, "all", int8=False))
