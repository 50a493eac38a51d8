"""The committed fixtures in tests/fixtures are those that tests/make_fixtures.py writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.data.alignment.landmarks import reference_landmarks, warp_face
from facekd.data.features.opening import open_features
from facekd.data.transforms import decode
from facekd.io.documents import read_json
from tests.make_fixtures import write_fixtures


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixtures as the current code writes them."""
    folder = tmp_path_factory.mktemp("fixtures")
    write_fixtures(folder)
    return folder


def files_of(folder: Path, ending: str = "") -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob(f"*{ending}") if p.is_file())


def test_the_committed_fixture_holds_what_the_tool_writes(fixtures: Path, rewritten: Path) -> None:
    assert files_of(fixtures) == files_of(rewritten)


def test_its_texts_are_the_same(fixtures: Path, rewritten: Path) -> None:
    for name in ("pairs.csv", "pairs.txt", "record/property", "record/names.txt"):
        assert (fixtures / name).read_text() == (rewritten / name).read_text(), name
    committed, written = (read_json(folder / "photos" / "landmarks.json") for folder in (fixtures, rewritten))
    assert committed.keys() == written.keys()
    np.testing.assert_allclose(list(committed.values()), list(written.values()), atol=0.011)


def test_its_pictures_are_the_same(fixtures: Path, rewritten: Path) -> None:
    """JPEG bytes may differ between builds of OpenCV, so pictures are compared."""
    for name in files_of(fixtures, ".jpg"):
        committed = decode((fixtures / name).read_bytes(), name).astype(int)
        written = decode((rewritten / name).read_bytes(), name)
        assert np.abs(committed - written).mean() < 1, name


def test_its_features_are_the_same(fixtures: Path, rewritten: Path) -> None:
    for name in ("probes", "distractors"):
        paths = [folder / "features" / f"{name}.npy" for folder in (fixtures, rewritten)]
        committed, written = map(open_features, paths)
        np.testing.assert_allclose(committed.all_l2_normalized_rows(), written.all_l2_normalized_rows(), atol=1e-3)
        np.testing.assert_equal(committed.labels, written.labels)


def test_it_is_small(fixtures: Path) -> None:
    assert sum(path.stat().st_size for path in fixtures.rglob("*")) < 1.5e6


def test_the_photographs_are_warped_to_the_reference_landmarks(fixtures: Path) -> None:
    """The mean of all aligned photographs is dark at the reference landmarks of the eyes."""
    landmarks = read_json(fixtures / "photos" / "landmarks.json")
    assert list(landmarks) == files_of(fixtures / "photos", ".jpg")
    crops = []
    for name, points in landmarks.items():
        image = decode((fixtures / "photos" / name).read_bytes(), name)
        assert image.shape == (250, 250, 3)
        crops.append(warp_face(image, np.array(points, np.float32).reshape(5, 2), 112).mean(axis=2))
    mean = np.mean(crops, axis=0)
    for x, y in reference_landmarks(112)[:2].round().astype(int):
        assert mean[y - 2 : y + 3, x - 2 : x + 3].mean() < mean[y + 12 : y + 17, x - 2 : x + 3].mean() - 10
