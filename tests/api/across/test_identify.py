from __future__ import annotations

import json
from pathlib import Path

import pytest

from facekd.api.across.identify import identify_across
from facekd.api.evaluate.identify import identify
from facekd.data.synthetic.dataset import write_faces
from facekd.errors import DataError


@pytest.fixture
def sets(tmp_path: Path) -> tuple[Path, Path]:
    """Probes of 12 people, and a gallery of 6 of them."""
    write_faces(tmp_path / "probes", range(12), 2, size=32)
    write_faces(tmp_path / "gallery", range(6), 3, size=32)
    for file in (tmp_path / "gallery").rglob("*000[01].*"):
        file.unlink()
    return tmp_path / "probes", tmp_path / "gallery"


def test_the_columns_are_the_two_models_and_new_probes_in_the_old_gallery(
    sets: tuple[Path, Path], new: Path, old: Path, tmp_path: Path
) -> None:
    result = identify_across(*sets, new, old, json=tmp_path / "r.json", device="cpu")
    for combination, model in (("old/old", old), ("new/new", new)):
        assert result.results[combination].rank == identify(*sets, model=model, device="cpu").rank
    content = json.loads((tmp_path / "r.json").read_text())
    assert (content["kind"], content["evaluation"], content["name"]) == ("across", "identify", "identify-gallery")


def test_a_map_takes_an_old_model_of_another_length(
    sets: tuple[Path, Path], new: Path, longer: Path, map_file: Path
) -> None:
    result = identify_across(*sets, new, longer, map_file=map_file, device="cpu")
    assert set(result.results) == {"old/old", "new/new", "new/old"}


def test_one_set_in_both_places_is_refused(sets: tuple[Path, Path], new: Path, old: Path) -> None:
    with pytest.raises(DataError, match="is given both as the probes and as the gallery"):
        identify_across(sets[0], sets[0], new, old)
