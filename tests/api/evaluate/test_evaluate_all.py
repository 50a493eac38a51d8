"""All evaluation sets of a folder: existing sets are evaluated once, missing sets are named."""

from __future__ import annotations

import json
import os
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch

from facekd.api.embed import embed
from facekd.api.evaluate.evaluate_all import evaluate_all
from facekd.api.evaluate.megaface import megaface
from facekd.api.evaluate.verify import verify
from facekd.data.opening import open_pairs
from facekd.data.pairs.insightface_bin import write_bin
from facekd.data.synthetic.dataset import write_faces
from facekd.errors import DataError, ModelError, SetupError
from facekd.evaluation.verification.result import VerificationResult
from facekd.models.registry import create
from facekd.models.weights import save_model
from facekd.reporting.tables.evaluation import Row, Suite
from facekd.run import Run


@pytest.fixture
def sets(fixtures: Path, tmp_path: Path) -> Path:
    """LFW as .bin, and a pair list of the user in a folder of images."""
    folder = tmp_path / "sets"
    shutil.copytree(fixtures / "folder", folder / "mine")
    shutil.copy(fixtures / "pairs.csv", folder / "mine")
    shutil.copy(fixtures / "pairs.bin", folder / "lfw.bin")
    return folder


class EvaluatedNames(list[str]):
    """The names of the pair lists that were evaluated; the evaluation of ``stop_at`` is interrupted by Ctrl-C."""

    stop_at = ""


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> EvaluatedNames:
    names = EvaluatedNames()

    def recorded_verify(model: Path, name: str, **options: Any) -> VerificationResult:
        if name == names.stop_at:
            raise KeyboardInterrupt
        names.append(name)
        return verify(model, name=name, **options)

    monkeypatch.setattr("facekd.api.evaluate.evaluate_all.verify", recorded_verify)
    return names


def by_set(suite: Suite) -> dict[str, Row]:
    return {row.set: row for row in suite.rows}


def test_an_existing_set_is_evaluated_as_by_its_own_command(run: Run, sets: Path) -> None:
    rows = by_set(evaluate_all(run.path, sets, device="cpu"))
    assert {title for title, row in rows.items() if row.status == "measured"} == {"LFW", "mine"}
    assert rows["LFW"].result == verify(run.path, sets / "lfw.bin").to_dict()
    assert rows["mine"].result == verify(run.path, sets / "mine" / "pairs.csv", images=sets / "mine").to_dict()


def test_pairs_with_the_name_of_another_protocol_are_a_separate_set(run: Run, sets: Path) -> None:
    (sets / "lfw.bin").rename(sets / "megaface.bin")
    rows = evaluate_all(run.path, sets, device="cpu").rows
    assert [(row.protocol, row.status) for row in rows if row.name == "megaface"] == [
        ("megaface", "missing"), ("verify", "measured"),
    ]


def test_missing_sets_are_named(run: Run, sets: Path) -> None:
    rows = by_set(evaluate_all(run.path, sets, device="cpu"))
    missing = [title for title, row in rows.items() if row.status == "missing" and row.note]
    assert missing == ["CFP-FF", "CFP-FP", "AgeDB-30", "CALFW", "CPLFW", "MegaFace", "IJB-B", "IJB-C"]


def test_the_results_of_a_run_are_written_as_by_the_single_commands(run: Run, sets: Path) -> None:
    table = evaluate_all(run.path, sets, device="cpu")
    assert sorted(file.name for file in run.results.glob("*.json")) == [
        "all-sets.json", "verify-lfw.json", "verify-mine.json",
    ]
    assert json.loads((run.results / "all-sets.json").read_text())["rows"] == [row.to_dict() for row in table.rows]


def test_a_folder_that_was_moved_is_not_measured_again(
    run: Run, sets: Path, evaluated: EvaluatedNames, tmp_path: Path
) -> None:
    evaluate_all(run.path, sets, device="cpu")
    (tmp_path / "moved").mkdir()
    moved = sets.rename(tmp_path / "moved" / "sets")
    rows = by_set(evaluate_all(run.path, moved, device="cpu"))
    assert (evaluated, rows["LFW"].paths) == (["lfw", "mine"], [str(moved / "lfw.bin")])


def test_one_file_holds_all_rows(run: Run, sets: Path, tmp_path: Path) -> None:
    evaluate_all(run.model, sets, json=tmp_path / "all.json", flip=False, device="cpu")
    content = json.loads((tmp_path / "all.json").read_text())
    assert (content["kind"], content["flip"], len(content["rows"])) == ("all", False, 10)
    assert content["rows"][0]["figure"]["name"] == "accuracy"
    assert not run.results.exists()


def test_a_damaged_set_stops_no_other(run: Run, sets: Path) -> None:
    (sets / "lfw.bin").write_bytes((sets / "lfw.bin").read_bytes()[:1000])
    (sets / "mine" / "pairs.csv").rename(sets / "mine" / "pairs_hard.csv")
    table = evaluate_all(run.path, sets, device="cpu")
    rows = by_set(table)
    assert (rows["LFW"].status, rows["mine-hard"].status, table.failed) == ("failed", "measured", 1)
    assert "lfw.bin cannot be read as a pickle" in rows["LFW"].note
    assert rows["LFW"].paths == [str(sets / "lfw.bin")]


def test_a_failed_set_is_evaluated_as_soon_as_it_is_repaired(run: Run, sets: Path) -> None:
    content = (sets / "lfw.bin").read_bytes()
    (sets / "lfw.bin").write_bytes(content[:1000])
    evaluate_all(run.path, sets, device="cpu")
    (sets / "lfw.bin").write_bytes(content)
    assert evaluate_all(run.path, sets, device="cpu").failed == 0


def test_the_model_is_loaded_once(run: Run, sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facekd.api.evaluate.verify.load", None)
    assert evaluate_all(run.path, sets, device="cpu").failed == 0


def test_nothing_is_measured_twice(run: Run, sets: Path, evaluated: EvaluatedNames) -> None:
    first = by_set(evaluate_all(run.path, sets, device="cpu"))
    second = by_set(evaluate_all(run.path, sets, device="cpu"))
    assert evaluated == ["lfw", "mine"]
    assert second["LFW"].result == first["LFW"].result
    assert second["LFW"].note == "measured before"


def test_the_result_file_of_a_model_that_is_no_run_is_continued(
    run: Run, sets: Path, tmp_path: Path, evaluated: EvaluatedNames
) -> None:
    for _ in range(2):
        evaluate_all(run.model, sets, json=tmp_path / "all.json", device="cpu")
    assert evaluated == ["lfw", "mine"]


def test_an_interrupted_call_is_continued(run: Run, sets: Path, evaluated: EvaluatedNames) -> None:
    evaluated.stop_at = "mine"
    with pytest.raises(KeyboardInterrupt):
        evaluate_all(run.path, sets, device="cpu")
    written = json.loads((run.results / "all-sets.json").read_text())["rows"]
    assert [row["set"] for row in written if row["status"] == "waiting"] == ["mine"]
    evaluated.stop_at = ""
    evaluate_all(run.path, sets, device="cpu")
    assert evaluated == ["lfw", "mine"]


def test_results_of_later_sets_outlive_an_interruption(run: Run, sets: Path, evaluated: EvaluatedNames) -> None:
    evaluate_all(run.path, sets, device="cpu")
    os.utime(sets / "lfw.bin", ns=(1, 1))
    evaluated.stop_at = "lfw"
    with pytest.raises(KeyboardInterrupt):
        evaluate_all(run.path, sets, device="cpu")
    evaluated.stop_at = ""
    evaluate_all(run.path, sets, device="cpu")
    assert evaluated == ["lfw", "mine", "lfw"]


def test_a_set_that_changed_is_measured_again(run: Run, sets: Path, evaluated: EvaluatedNames) -> None:
    evaluate_all(run.path, sets, device="cpu")
    os.utime(sets / "mine" / "id_00000" / "0000.jpg", ns=(1, 1))
    evaluate_all(run.path, sets, device="cpu")
    assert evaluated == ["lfw", "mine", "mine"]


def test_another_model_or_option_is_measured_anew(run: Run, sets: Path, evaluated: EvaluatedNames) -> None:
    evaluate_all(run.path, sets, device="cpu")
    evaluate_all(run.path, sets, flip=False, device="cpu")
    torch.manual_seed(1)
    save_model(create("mobilenetv2", size=32, outputs=16, expansion=2, width=0.25), run.model)
    evaluate_all(run.path, sets, flip=False, device="cpu")
    assert evaluated == ["lfw", "mine"] * 3


def test_a_damaged_result_file_counts_as_none(run: Run, sets: Path, evaluated: EvaluatedNames) -> None:
    evaluate_all(run.path, sets, device="cpu")
    (run.results / "all-sets.json").write_text('{"rows": [{"set": "LFW"}, 3]}')
    evaluate_all(run.path, sets, device="cpu")
    assert evaluated == ["lfw", "mine"] * 2


def test_an_unused_alternative_is_named(run: Run, sets: Path) -> None:
    (sets / "lfw").mkdir()
    shutil.copy(sets / "mine" / "pairs.csv", sets / "lfw")
    note = f"also there, not used: {sets / 'lfw' / 'pairs.csv'}"
    assert [by_set(evaluate_all(run.path, sets, device="cpu"))["LFW"].note for _ in range(2)] == [
        note, f"measured before; {note}",
    ]


def test_megaface_runs_on_face_sets(run: Run, fixtures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sets"
    shutil.copytree(fixtures / "folder", folder / "probes")
    write_faces(folder / "distractors", range(100, 115), 1, size=32)
    row = by_set(evaluate_all(run.path, folder, device="cpu", features=tmp_path / "features"))["MegaFace"]
    results = megaface(run.path, folder / "probes", folder / "distractors", device="cpu")
    assert row.result == results["megaface"].to_dict()
    assert row.figure and row.figure.name == "rank-1 among 15"
    assert (tmp_path / "features").is_dir()


@pytest.fixture
def kit(fixtures: Path, tmp_path: Path) -> Path:
    """MegaFace's kit with 8 identities, lists of 5 and 10 distractors, and noise lists."""
    folder = tmp_path / "kit"
    lists = folder / "templatelists"
    lists.mkdir(parents=True)
    probes = []
    for image in sorted((fixtures / "folder").rglob("*.jpg")):
        identity = image.parent.name
        probes.append(f"{identity}/{identity}_{image.name}")
        (folder / "facescrub_images" / identity).mkdir(parents=True, exist_ok=True)
        shutil.copy(image, folder / "facescrub_images" / probes[-1])
    names = [probe.partition("/")[0] for probe in probes]
    (lists / "facescrub_features_list.json").write_text(json.dumps({"path": probes, "id": names}))
    write_faces(folder / "megaface_images" / "0", range(100, 110), 1, size=32)
    distractors = [file.relative_to(folder / "megaface_images").as_posix()
                   for file in sorted((folder / "megaface_images").rglob("*.jpg"))]
    for size in (5, 10):
        content = json.dumps({"path": distractors[:size]})
        (lists / f"megaface_features_list.json_{size}_1").write_text(content)
    (folder / "noise").mkdir()
    (folder / "noise" / "facescrub_noises.txt").write_text(f"{probes[0].partition('/')[2]}\n")
    (folder / "noise" / "megaface_noises.txt").write_text(f"{distractors[0]}\n")
    return folder


def test_the_kit_gives_a_row_for_each_noise_mode_at_its_largest_size(run: Run, kit: Path) -> None:
    rows = [row for row in evaluate_all(run.path, kit, device="cpu").rows if row.name == "megaface"]
    assert [row.status for row in rows] == ["measured"] * 3
    assert [row.figure and row.figure.name for row in rows] == [
        "rank-1 among 10", "rank-1 among 9", "rank-1 among 9",
    ]
    assert all(row.set.startswith("MegaFace ") and mode in row.set
               for row, mode in zip(rows, ("raw", "compatible", "strict"), strict=True))
    assert rows[0].note == "the largest of 2 sizes, for the others 'facekd eval megaface'"


def test_all_rows_of_the_kit_are_reused(run: Run, kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluate_all(run.path, kit, device="cpu")
    monkeypatch.setattr("facekd.api.evaluate.evaluate_all.megaface", lambda *_, **__: pytest.fail("measured again"))
    again = evaluate_all(run.path, kit, device="cpu")
    assert [(row.set, row.result) for row in again.rows] == [(row.set, row.result) for row in first.rows]


def test_a_kit_without_a_list_of_distractors_fails_in_one_sentence(run: Run, kit: Path) -> None:
    for file in (kit / "templatelists").glob("megaface*"):
        file.unlink()
    row = by_set(evaluate_all(run.path, kit, device="cpu"))["MegaFace"]
    assert row.status == "failed"
    assert row.note == (f"{kit / 'templatelists'} holds no list of distractors; "
                        "restore megaface_features_list.json_SIZE_1")


@pytest.fixture
def ijbb(fixtures: Path, tmp_path: Path) -> Path:
    """The fixture's identities as IJB-B: two templates of two images each."""
    meta = tmp_path / "sets" / "IJBB" / "meta"
    meta.mkdir(parents=True)
    names = [file.relative_to(fixtures / "folder").as_posix() for file in sorted((fixtures / "folder").rglob("*.jpg"))]
    (meta / "list.txt").write_text("\n".join(names))
    lines = [f"{name} {image // 2} {image}\n" for image, name in enumerate(names)]
    (meta / "ijbb_face_tid_mid.txt").write_text("".join(lines))
    pairs = [f"{one} {other} {int(one // 2 == other // 2)}\n"
             for one, other in combinations(range(len(names) // 2), 2)]
    (meta / "ijbb_template_pair_label.txt").write_text("".join(pairs))
    return tmp_path / "sets"


def test_ijb_without_features_names_the_command_that_makes_them(run: Run, ijbb: Path) -> None:
    table = evaluate_all(run.path, ijbb, device="cpu")
    row = by_set(table)["IJB-B"]
    assert (row.status, row.paths, table.failed) == ("missing", [str(ijbb / "IJBB")], 0)
    assert f"'facekd embed IMAGES {ijbb / 'IJBB' / 'run.npy'} --model {run.path}'" in row.note


def test_ijb_is_measured_from_features_of_this_model(run: Run, ijbb: Path, fixtures: Path) -> None:
    out = ijbb / "IJBB" / "run.npy"
    embed(fixtures / "folder", out, run.path, device="cpu", image_list=ijbb / "IJBB" / "meta" / "list.txt")
    row = by_set(evaluate_all(run.path, ijbb, device="cpu"))["IJB-B"]
    assert (row.status, row.paths) == ("measured", [str(ijbb / "IJBB"), str(out)])
    assert row.further[-1] == "16 templates"
    assert json.loads((run.results / f"ijb-{row.name}.json").read_text())["templates"] == 16


def test_features_of_other_options_are_not_used_for_ijb(run: Run, ijbb: Path, fixtures: Path) -> None:
    out = ijbb / "IJBB" / "run.npy"
    embed(fixtures / "folder", out, run.path, device="cpu", image_list=ijbb / "IJBB" / "meta" / "list.txt")
    row = by_set(evaluate_all(run.path, ijbb, flip=False, device="cpu"))["IJB-B"]
    assert row.status == "missing"
    assert "--no-flip'" in row.note


def test_a_missing_folder_or_model_is_an_error(run: Run, sets: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none is not a folder"):
        evaluate_all(run.path, tmp_path / "none")
    with pytest.raises(ModelError, match=r"none\.onnx does not exist"):
        evaluate_all(tmp_path / "none.onnx", sets)


def test_several_processes_are_refused(run: Run, sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SetupError, match="evaluate_all works in one process"):
        evaluate_all(run.path, sets)


def test_a_full_disk_ends_all(run: Run, sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise SetupError("the disk is full")

    monkeypatch.setattr("facekd.api.evaluate.evaluate_all.verify", fail)
    with pytest.raises(SetupError, match="the disk is full"):
        evaluate_all(run.path, sets)


def test_real_faces(shared: Path, run: Run, tmp_path: Path) -> None:
    """400 real pairs in InsightFace's format, and the same in a folder of another name."""
    folder = tmp_path / "real"
    folder.mkdir()
    (folder / "cfp_fp.bin").symlink_to(shared / "faces" / "cfp_fp_fold1.bin")
    write_bin(open_pairs(shared / "faces" / "cfp_fp_fold1.bin", None), folder / "copy.bin")
    (folder / "templatelists").symlink_to(shared / "megaface" / "templatelists")
    rows = by_set(evaluate_all(run.model, folder, device="cpu"))
    assert rows["CFP-FP"].result and rows["CFP-FP"].result == rows["copy"].result
    assert rows["CFP-FP"].result["pairs"] == 400
    assert rows["MegaFace"].note.endswith("there is templatelists")
