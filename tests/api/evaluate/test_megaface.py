"""``eval megaface``: images or features in, the kit's files both ways, cleaning, and the comparison of two models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import facekd
from facekd.api.evaluate.megaface import compare_models, megaface
from facekd.data.feature_set import ArrayFeatures
from facekd.data.features.opening import write_features
from facekd.data.megaface.feature_tree import write_tree
from facekd.data.megaface.template_lists import distractor_list, read_distractor_list, read_probe_list
from facekd.errors import DataError
from facekd.evaluation.identification.result import IdentificationResult
from facekd.run import Run

MEGAFACE = {"rank1", "rank1_interval", "cmc", "pairs", "distractors", "tar", "tar_interval"}


def are_fractions(values: list[Any]) -> bool:
    return all(isinstance(value, float) and 0 <= value <= 1 for value in values)


def test_megaface_writes_the_fixed_fields(
    fixtures: Path, run: Run, strangers: Path, tmp_path: Path, call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.json"
    words = ("--probes", fixtures / "record", "--distractors", strangers, "--json", out)
    assert call("eval", "megaface", "--model", run.path, *words) == 0
    found = json.loads(out.read_text())
    assert found.keys() >= MEGAFACE
    assert are_fractions([found["rank1"], *found["rank1_interval"], *found["cmc"]])
    assert (len(found["cmc"]), found["cmc"][0], found["cmc"][15]) == (100, found["rank1"], 1.0)  # 15 distractors
    assert found["cmc"] == sorted(found["cmc"])
    assert (found["pairs"], found["distractors"]) == (8 * 4 * 3, 15)
    assert found["tar"].keys() == found["tar_interval"].keys() >= {"1e-4", "1e-6"}
    assert are_fractions([found["tar"]["1e-2"], *found["tar_interval"]["1e-2"]])  # 480 impostor pairs: 4 may pass
    assert all(found[field][far] is None for field in ("tar", "tar_interval") for far in ("1e-4", "1e-6"))
    assert "TAR at FAR 1e-4 is not given: 480 impostor pairs" in capsys.readouterr().out
    assert json.loads((run.results / "megaface-megaface.json").read_text()) == found


def test_megaface_counts_what_the_cosines_say(fixtures: Path) -> None:
    """Rank-1 on the fixture's features, pair by pair."""
    probes, labels = (np.load(fixtures / "features" / name) for name in ("probes.npy", "probes.labels.npy"))
    distractors = np.load(fixtures / "features" / "distractors.npy")
    hits = [
        probes[i] @ probes[j] > (distractors @ probes[i]).max()
        for i in range(len(probes)) for j in range(len(probes)) if i != j and labels[i] == labels[j]
    ]
    folder = fixtures / "features"
    found = megaface(None, folder / "probes.npy", folder / "distractors.npy")["megaface"]
    assert found.rank1 == pytest.approx(np.mean(hits))
    assert (found.pairs, found.distractors) == (96, 40)


def test_megaface_from_sets_equals_megaface_from_their_features(
    fixtures: Path, run: Run, strangers: Path, tmp_path: Path
) -> None:
    for name, faces in (("probes", fixtures / "folder"), ("strangers", strangers)):
        facekd.embed(faces, tmp_path / f"{name}.npy", run.model)
    by_features = megaface(None, tmp_path / "probes.npy", tmp_path / "strangers.npy")["megaface"]
    by_sets = megaface(run.model, fixtures / "folder", strangers)["megaface"]
    assert by_sets.to_dict() == by_features.to_dict()


@pytest.mark.parametrize("given", [(), ("model",), ("model", "probes"), ("distractors",)])
def test_without_both_inputs_it_says_what_to_give(given: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="give probes and distractors"):
        megaface(**dict.fromkeys(given, "x"))  # type: ignore[arg-type]


def test_probe_features_without_labels_are_refused(fixtures: Path, tmp_path: Path) -> None:
    write_features(tmp_path / "p.npy", np.eye(192, dtype=np.float32))
    with pytest.raises(DataError, match=r"p\.npy does not say who is who"):
        megaface(None, tmp_path / "p.npy", fixtures / "features" / "distractors.npy")


def test_features_of_two_models_are_refused(fixtures: Path, tmp_path: Path) -> None:
    write_features(tmp_path / "p.npy", np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1]))
    with pytest.raises(DataError, match="use features of one model for both"):
        megaface(None, tmp_path / "p.npy", fixtures / "features" / "distractors.npy")


PROBES = [f"P_{person}/P_{person}_{image}.png" for person in range(4) for image in range(5)]
SIZES = (10, 60)


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """Lists, noise lists and feature trees as the kit has them: a wrong probe, a distractor that is none."""
    generator = np.random.default_rng(0)
    lists, noise = tmp_path / "templatelists", tmp_path / "noise"
    lists.mkdir()
    noise.mkdir()
    people = generator.normal(size=(4, 16))[np.arange(20) // 5] + 0.5 * generator.normal(size=(20, 16))
    people[7] = generator.normal(size=16)
    write_tree(ArrayFeatures(people, names=PROBES), tmp_path / "facescrub", "_m.bin")
    (lists / "facescrub_features_list.json").write_text(
        json.dumps({"path": PROBES, "id": [path.split("/")[0] for path in PROBES]}))
    paths = [f"{n % 7}/{n}@N00/{n}_0.jpg" for n in range(60)]
    others = generator.normal(size=(60, 16))
    others[3] = people[1]
    write_tree(ArrayFeatures(others, names=paths), tmp_path / "megaface", "_m.bin")
    for size in SIZES:
        (lists / f"megaface_features_list.json_{size}_1").write_text(json.dumps({"path": paths[:size]}))
    (noise / "facescrub_noises.txt").write_text("#rules\nP_1_2.png\nElse_7.png\n")
    (noise / "megaface_noises.txt").write_text(f"#rules\n{paths[3]}\n")
    return tmp_path


def of_kit(kit: Path, **options: Any) -> dict[str, IdentificationResult]:
    return megaface(None, kit / "facescrub", kit / "megaface", lists=kit / "templatelists", ending="_m.bin", **options)


def test_the_kits_trees_are_measured_at_every_size(kit: Path) -> None:
    found = of_kit(kit)
    assert {title: result.distractors for title, result in found.items()} == {"megaface-10": 10, "megaface-60": 60}
    assert {result.pairs for result in found.values()} == {4 * 5 * 4}


def test_the_three_ways_of_cleaning_stand_side_by_side(
    kit: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--probes", kit / "facescrub", "--distractors", kit / "megaface", "--lists", kit / "templatelists",
             "--ending", "_m.bin", "--sizes", 60, "--noise", kit / "noise")
    assert call("eval", "megaface", *words) == 0
    printed = capsys.readouterr().out
    assert all(f"megaface-{way}" in printed for way in ("raw", "compatible", "strict"))
    found = of_kit(kit, sizes=[60], noise=kit / "noise")
    raw, compatible, strict = (found[f"megaface-{way}"] for way in ("raw", "compatible", "strict"))
    assert (raw.probes, compatible.probes, strict.probes) == (20, 20, 19)
    assert (raw.distractors, compatible.distractors, strict.distractors) == (60, 59, 59)
    assert raw.rank1 < strict.rank1 <= compatible.rank1


def test_the_kits_result_files_hold_the_ranks(kit: Path) -> None:
    found = of_kit(kit, sizes=[60], noise=kit / "noise", out=kit / "out")
    for way, name in (("raw", "m"), ("compatible", "m-compatible"), ("strict", "m-strict")):
        cmc = json.loads((kit / "out" / f"cmc_facescrub_megaface_{name}_60_1.json").read_text())["cmc"]
        assert cmc[1][0] == pytest.approx(found[f"megaface-{way}"].rank1)
        matches = json.loads((kit / "out" / f"matches_facescrub_megaface_{name}_60_1.json").read_text())
        assert len(matches) == 20
        ranks = [rank for entry in matches for rank in entry["probes"]["rank"]]
        assert np.mean(np.array(ranks) == 0) == pytest.approx(found[f"megaface-{way}"].rank1)
        assert (matches[7]["probes"]["idx"] == []) == (way == "strict")


def test_a_feature_file_that_is_not_there_is_named(kit: Path) -> None:
    next((kit / "megaface").rglob("5_0.jpg_m.bin")).unlink()
    with pytest.raises(DataError, match=r"5@N00/5_0\.jpg"):
        of_kit(kit)


def test_int8_is_measured_beside_float(kit: Path) -> None:
    found = of_kit(kit, sizes=[60], int8=True)
    assert list(found) == ["megaface", "megaface-int8-probes", "megaface-int8"]
    assert found["megaface-int8"].rank1 == pytest.approx(found["megaface"].rank1, abs=0.05)


def test_two_models_are_compared_by_their_result_files(
    kit: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    of_kit(kit, sizes=[60], noise=kit / "noise", json=kit / "a.json")
    raw, other = kit / "a-raw.json", kit / "b.json"
    of_kit(kit, sizes=[60], json=other)
    assert call("eval", "megaface", "--compare", raw, other) == 0
    assert "+0.00 points [+0.00, +0.00], no clear difference" in capsys.readouterr().out
    with pytest.raises(DataError, match="the two results are of different tests"):
        compare_models(raw, kit / "a-strict.json")


def test_what_is_no_result_is_not_compared(kit: Path) -> None:
    (kit / "x.json").write_text("{}")
    with pytest.raises(DataError, match="is no result"):
        compare_models(kit / "x.json", kit / "x.json")


def test_a_result_without_its_counts_is_not_compared(kit: Path) -> None:
    of_kit(kit, sizes=[60], json=kit / "a.json")
    (kit / "a.npz").unlink()
    with pytest.raises(DataError, match=r"a\.npz cannot be read"):
        compare_models(kit / "a.json", kit / "a.json")


def test_embeddings_are_kept_where_asked_for(fixtures: Path, run: Run, strangers: Path, tmp_path: Path) -> None:
    once = megaface(run.model, fixtures / "folder", strangers, features=tmp_path / "kept")["megaface"]
    assert np.load(tmp_path / "kept" / "megaface-probes.npy").shape == (32, 16)
    again = megaface(None, tmp_path / "kept" / "megaface-probes.npy", tmp_path / "kept" / "megaface-distractors.npy")
    assert again["megaface"].to_dict() == once.to_dict()


def test_the_real_lists_with_made_up_features(shared: Path, tmp_path: Path) -> None:
    """Every probe and distractor of the kit's lists, a feature each, at sizes from 10 to 10,000."""
    lists, noise = shared / "megaface" / "templatelists", shared / "megaface" / "noise"
    probes = read_probe_list(lists / "facescrub_features_list.json")
    assert probes.labels is not None
    generator = np.random.default_rng(0)
    people = generator.normal(size=(80, 16))[probes.labels] + 0.7 * generator.normal(size=(len(probes), 16))
    write_features(tmp_path / "probes.npy", people.astype(np.float32), probes.labels, probes.paths)
    for size in (10, 100, 1000, 10_000):
        paths = read_distractor_list(distractor_list(lists, size)).paths
        write_features(tmp_path / f"{size}.npy", generator.normal(size=(size, 16)).astype(np.float32), names=paths)
        others = tmp_path / f"{size}.npy"
        found = megaface(None, tmp_path / "probes.npy", others, lists=lists, sizes=[size], noise=noise)
        assert [result.pairs for result in found.values()][:2] == [153_634] * 2
        assert [result.probes for result in found.values()] == [3530, 3530, 3506]
