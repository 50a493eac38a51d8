"""MegaFace from images and from features, the files of its kit, noise lists, and the comparison of two models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import facekd
from facekd.api.evaluate.megaface import megaface
from facekd.data.feature_set import ArrayFeatures
from facekd.data.features.opening import write_features
from facekd.data.megaface.feature_tree import write_feature_tree
from facekd.data.megaface.template_lists import distractor_list_path, read_distractor_list, read_probe_list
from facekd.errors import DataError, SetupError
from facekd.evaluation.identification.result import IdentificationResult
from facekd.models.registry import create
from facekd.models.weights import save_model
from facekd.run import Run
from tests.held_lock import held_lock

FIELDS = {"rank1", "rank1_interval", "cmc", "pairs", "distractors", "tar", "tar_interval"}


def are_fractions(values: list[Any]) -> bool:
    return all(isinstance(value, float) and 0 <= value <= 1 for value in values)


def test_megaface_writes_the_fixed_fields(
    fixtures: Path, run: Run, distractors: Path, tmp_path: Path, run_cli: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.json"
    words = ("--probes", fixtures / "record", "--distractors", distractors, "--json", out)
    assert run_cli("eval", "megaface", "--model", run.path, *words) == 0
    content = json.loads(out.read_text())
    assert content.keys() >= FIELDS
    assert are_fractions([content["rank1"], *content["rank1_interval"], *content["cmc"]])
    cmc = content["cmc"]
    assert (len(cmc), cmc[0], cmc[15]) == (100, content["rank1"], 1.0)  # 15 distractors
    assert cmc == sorted(cmc)
    assert (content["pairs"], content["distractors"]) == (8 * 4 * 3, 15)
    assert content["tar"].keys() == content["tar_interval"].keys() >= {"1e-4", "1e-6"}
    assert are_fractions([content["tar"]["1e-2"], *content["tar_interval"]["1e-2"]])  # 480 impostor pairs: 4 may pass
    assert all(content[field][far] is None for field in ("tar", "tar_interval") for far in ("1e-4", "1e-6"))
    assert "TAR at FAR 1e-4 is not given: 480 impostor pairs" in capsys.readouterr().out
    assert json.loads((run.results / "megaface-megaface.json").read_text()) == content


def test_megaface_counts_what_the_cosines_say(fixtures: Path) -> None:
    """Rank-1 on the fixture's features, pair by pair."""
    folder = fixtures / "features"
    probes, labels = np.load(folder / "probes.npy"), np.load(folder / "probes.labels.npy")
    distractors = np.load(folder / "distractors.npy")
    hits = [
        probes[i] @ probes[j] > (distractors @ probes[i]).max()
        for i in range(len(probes)) for j in range(len(probes)) if i != j and labels[i] == labels[j]
    ]
    result = megaface(None, folder / "probes.npy", folder / "distractors.npy")["megaface"]
    assert result.rank1 == pytest.approx(np.mean(hits))
    assert (result.pairs, result.distractors) == (96, 40)


def test_megaface_from_sets_equals_megaface_from_their_features(
    fixtures: Path, run: Run, distractors: Path, tmp_path: Path
) -> None:
    for name, faces in (("probes", fixtures / "folder"), ("distractors", distractors)):
        facekd.embed(faces, tmp_path / f"{name}.npy", run.model)
    by_features = megaface(None, tmp_path / "probes.npy", tmp_path / "distractors.npy")["megaface"]
    by_sets = megaface(run.model, fixtures / "folder", distractors)["megaface"]
    assert by_sets.to_dict() == by_features.to_dict()


def other_model(folder: Path) -> Path:
    """A network like that of `run`, with other weights."""
    torch.manual_seed(1)
    save_model(create("mobilenetv2", size=32, outputs=16, expansion=2, width=0.25), folder / "other.safetensors")
    return folder / "other.safetensors"


def test_probes_of_one_model_among_distractors_of_another_are_refused(
    fixtures: Path, run: Run, distractors: Path, tmp_path: Path, run_cli: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Rank-1 was 100 % without a word: strangers of another model are all far away."""
    facekd.embed(fixtures / "folder", tmp_path / "p.npy", run.model)
    facekd.embed(distractors, tmp_path / "d.npy", other_model(tmp_path))
    words = ("eval", "megaface", "--probes", tmp_path / "p.npy", "--distractors", tmp_path / "d.npy", "--json",
             tmp_path / "out.json")
    assert run_cli(*words) == 2
    assert "of the model model (" in (message := capsys.readouterr().err) and "of other (" in message
    assert run_cli(*words, "--across") == 0
    assert "across models: the probes are of model (" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["across"] is True


def test_a_table_across_models_says_so(
    fixtures: Path, run: Run, distractors: Path, tmp_path: Path, run_cli: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    facekd.embed(fixtures / "folder", tmp_path / "p.npy", run.model)
    facekd.embed(distractors, tmp_path / "d.npy", other_model(tmp_path))
    words = ("--probes", tmp_path / "p.npy", "--distractors", tmp_path / "d.npy", "--int8", "--across")
    assert run_cli("eval", "megaface", *words) == 0
    assert capsys.readouterr().out.count("across models: ") == 1


def test_features_that_do_not_name_their_model_are_noted(fixtures: Path) -> None:
    features = fixtures / "features"
    result = megaface(None, features / "probes.npy", features / "distractors.npy")["megaface"]
    assert "whether one model made both is not checked" in result.notes[0]


def test_a_result_in_use_is_left_alone(fixtures: Path, tmp_path: Path) -> None:
    features = fixtures / "features"
    with held_lock(tmp_path / "r.json"), pytest.raises(SetupError, match=r"r\.json is being written by process"):
        megaface(None, features / "probes.npy", features / "distractors.npy", json=tmp_path / "r.json")


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".x", "\x1b]0;x"])
def test_a_name_that_is_no_file_name_is_refused(fixtures: Path, name: str) -> None:
    features = fixtures / "features"
    with pytest.raises(DataError, match=r"--name .* is no plain name"):
        megaface(None, features / "probes.npy", features / "distractors.npy", name=name)


def test_a_damaged_state_of_an_interrupted_comparison_is_begun_anew(
    fixtures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features = fixtures / "features"
    (tmp_path / ".r.json.partial.0").write_bytes(b"PK\x03\x04" + bytes(50))
    megaface(None, features / "probes.npy", features / "distractors.npy", json=tmp_path / "r.json")
    assert ".r.json.partial.0 cannot be read" in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["r.json", "r.npz"]


@pytest.mark.parametrize("given", [(), ("model",), ("model", "probes"), ("distractors",)])
def test_without_both_inputs_the_message_says_what_to_give(given: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="give probes and distractors"):
        megaface(**dict.fromkeys(given, "x"))  # type: ignore[arg-type]


def test_probe_features_without_labels_are_refused(fixtures: Path, tmp_path: Path) -> None:
    write_features(tmp_path / "p.npy", np.eye(192, dtype=np.float32))
    with pytest.raises(DataError, match=r"p\.npy has no labels"):
        megaface(None, tmp_path / "p.npy", fixtures / "features" / "distractors.npy")


def test_features_of_two_models_are_refused(fixtures: Path, tmp_path: Path) -> None:
    write_features(tmp_path / "p.npy", np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1]))
    with pytest.raises(DataError, match="use features of one model for both"):
        megaface(None, tmp_path / "p.npy", fixtures / "features" / "distractors.npy")


PROBES = [f"P_{person}/P_{person}_{image}.png" for person in range(4) for image in range(5)]
SIZES = (10, 60)


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """Template lists, noise lists and feature trees, with a mislabeled probe and a distractor that shows a probe."""
    generator = np.random.default_rng(0)
    lists = tmp_path / "templatelists"
    noise = tmp_path / "noise"
    lists.mkdir()
    noise.mkdir()
    probes = generator.normal(size=(4, 16))[np.arange(20) // 5] + 0.5 * generator.normal(size=(20, 16))
    probes[7] = generator.normal(size=16)
    write_feature_tree(ArrayFeatures(probes, image_names=PROBES), tmp_path / "facescrub", "_m.bin")
    (lists / "facescrub_features_list.json").write_text(
        json.dumps({"path": PROBES, "id": [path.split("/")[0] for path in PROBES]}))
    paths = [f"{n % 7}/{n}@N00/{n}_0.jpg" for n in range(60)]
    distractors = generator.normal(size=(60, 16))
    distractors[3] = probes[1]
    write_feature_tree(ArrayFeatures(distractors, image_names=paths), tmp_path / "megaface", "_m.bin")
    for size in SIZES:
        (lists / f"megaface_features_list.json_{size}_1").write_text(json.dumps({"path": paths[:size]}))
    (noise / "facescrub_noises.txt").write_text("#rules\nP_1_2.png\nElse_7.png\n")
    (noise / "megaface_noises.txt").write_text(f"#rules\n{paths[3]}\n")
    return tmp_path


def evaluate_kit(kit: Path, **options: Any) -> dict[str, IdentificationResult]:
    return megaface(None, kit / "facescrub", kit / "megaface", template_lists=kit / "templatelists", suffix="_m.bin",
                    **options)


def test_the_kits_trees_are_measured_at_every_size(kit: Path) -> None:
    results = evaluate_kit(kit)
    assert {title: result.distractors for title, result in results.items()} == {"megaface-10": 10, "megaface-60": 60}
    assert {result.pairs for result in results.values()} == {4 * 5 * 4}


def test_the_three_noise_modes_are_in_one_table(
    kit: Path, run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--probes", kit / "facescrub", "--distractors", kit / "megaface", "--template-lists",
             kit / "templatelists", "--suffix", "_m.bin", "--sizes", 60, "--noise-lists", kit / "noise")
    assert run_cli("eval", "megaface", *words) == 0
    output = capsys.readouterr().out
    assert all(f"megaface-{mode}" in output for mode in ("raw", "compatible", "strict"))
    results = evaluate_kit(kit, sizes=[60], noise_lists=kit / "noise")
    raw, compatible, strict = (results[f"megaface-{mode}"] for mode in ("raw", "compatible", "strict"))
    assert (raw.probes, compatible.probes, strict.probes) == (20, 20, 19)
    assert (raw.distractors, compatible.distractors, strict.distractors) == (60, 59, 59)
    assert raw.rank1 < strict.rank1 <= compatible.rank1


def test_the_kits_result_files_hold_the_ranks(kit: Path) -> None:
    results = evaluate_kit(kit, sizes=[60], noise_lists=kit / "noise", out=kit / "out")
    for mode, name in (("raw", "m"), ("compatible", "m-compatible"), ("strict", "m-strict")):
        cmc = json.loads((kit / "out" / f"cmc_facescrub_megaface_{name}_60_1.json").read_text())["cmc"]
        assert cmc[1][0] == pytest.approx(results[f"megaface-{mode}"].rank1)
        matches = json.loads((kit / "out" / f"matches_facescrub_megaface_{name}_60_1.json").read_text())
        assert len(matches) == 20
        ranks = [rank for entry in matches for rank in entry["probes"]["rank"]]
        assert np.mean(np.array(ranks) == 0) == pytest.approx(results[f"megaface-{mode}"].rank1)
        assert (matches[7]["probes"]["idx"] == []) == (mode == "strict")


def test_a_missing_feature_file_is_named(kit: Path) -> None:
    next((kit / "megaface").rglob("5_0.jpg_m.bin")).unlink()
    with pytest.raises(DataError, match=r"5@N00/5_0\.jpg"):
        evaluate_kit(kit)


def test_int8_is_evaluated_in_addition_to_float(kit: Path) -> None:
    results = evaluate_kit(kit, sizes=[60], int8=True)
    assert list(results) == ["megaface", "megaface-int8-probes", "megaface-int8"]
    assert results["megaface-int8"].rank1 == pytest.approx(results["megaface"].rank1, abs=0.05)


def test_embeddings_are_written_into_the_given_folder(
    fixtures: Path, run: Run, distractors: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "features"
    of_images = megaface(run.model, fixtures / "folder", distractors, features=folder)["megaface"]
    assert np.load(folder / "megaface-probes.npy").shape == (32, 16)
    of_features = megaface(None, folder / "megaface-probes.npy", folder / "megaface-distractors.npy")["megaface"]
    assert of_features.to_dict() == of_images.to_dict()


def test_the_real_lists_with_made_up_features(shared: Path, tmp_path: Path) -> None:
    """One feature for every probe and distractor of the kit's lists, at sizes from 10 to 10,000."""
    lists = shared / "megaface" / "templatelists"
    noise = shared / "megaface" / "noise"
    probes = read_probe_list(lists / "facescrub_features_list.json")
    assert probes.labels is not None
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(80, 16))[probes.labels] + 0.7 * generator.normal(size=(len(probes), 16))
    write_features(tmp_path / "probes.npy", rows.astype(np.float32), probes.labels, probes.paths)
    for size in (10, 100, 1000, 10_000):
        paths = read_distractor_list(distractor_list_path(lists, size)).paths
        write_features(tmp_path / f"{size}.npy", generator.normal(size=(size, 16)).astype(np.float32), names=paths)
        results = megaface(None, tmp_path / "probes.npy", tmp_path / f"{size}.npy", template_lists=lists, sizes=[size],
                           noise_lists=noise)
        assert [result.pairs for result in results.values()][:2] == [153_634] * 2
        assert [result.probes for result in results.values()] == [3530, 3530, 3506]
