from __future__ import annotations

import time
from pathlib import Path

import pytest

from facekd.data.discovery import find_evaluation_sets
from facekd.data.evaluation_set import EvaluationSet
from facekd.errors import DataError

PICKLE = b"\x80\x02]q\x00."
EXPECTED = ["LFW", "CFP-FF", "CFP-FP", "AgeDB-30", "CALFW", "CPLFW", "MegaFace", "IJB-B", "IJB-C"]


def make(folder: Path, *files: str) -> None:
    """Write files that contain a pickle each, and create their folders."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(PICKLE)


def sets_by_title(folder: Path) -> dict[str, EvaluationSet]:
    return {item.title: item for item in find_evaluation_sets(folder)[0]}


def test_an_empty_folder_gives_every_expected_set_as_missing(tmp_path: Path) -> None:
    sets, notes = find_evaluation_sets(tmp_path)
    assert [item.title for item in sets] == EXPECTED
    assert all(item.missing and not item.inputs for item in sets)
    assert notes == []


@pytest.mark.parametrize(("title", "words"), [
    ("LFW", "neither lfw.bin nor a folder lfw of images with pairs.csv or pairs.txt"),
    ("CFP-FP", "neither cfp_fp.bin nor a folder cfp of images with pairs_fp.csv"),
    ("MegaFace", "neither facescrub_images, megaface_images, templatelists nor the face sets probes and distractors in "
                 "one folder"),
    ("IJB-C", "no folder that holds ijbc_face_tid_mid.txt or ijbc_1N_probe_mixed.csv"),
])
def test_what_was_looked_for_is_said(tmp_path: Path, title: str, words: str) -> None:
    assert words in sets_by_title(tmp_path)[title].missing


@pytest.mark.parametrize(("file", "title", "name"), [
    ("lfw.bin", "LFW", "lfw"), ("cfp_ff.bin", "CFP-FF", "cfp_ff"), ("CFP-FP.bin", "CFP-FP", "cfp_fp"),
    ("agedb_30.bin", "AgeDB-30", "agedb_30"), ("AgeDB.bin", "AgeDB-30", "agedb_30"), ("calfw.bin", "CALFW", "calfw"),
    ("val/cplfw.bin", "CPLFW", "cplfw"),
])
def test_a_bin_is_known_by_its_name(tmp_path: Path, file: str, title: str, name: str) -> None:
    make(tmp_path, file)
    evaluation_set = sets_by_title(tmp_path)[title]
    assert (evaluation_set.name, evaluation_set.protocol) == (name, "verify")
    assert evaluation_set.inputs == {"pairs": tmp_path / file}
    assert [other.title for other in find_evaluation_sets(tmp_path)[0] if not other.missing] == [title]


@pytest.mark.parametrize(("file", "title"), [
    ("LFW/pairs.txt", "LFW"), ("lfw/pairs.csv", "LFW"), ("cfp/pairs_ff.csv", "CFP-FF"), ("cfp/pairs_fp.txt", "CFP-FP"),
    ("cfp_fp/Pairs.csv", "CFP-FP"), ("AgeDB-30/pairs.csv", "AgeDB-30"),
])
def test_a_pair_list_is_known_by_its_folder(tmp_path: Path, file: str, title: str) -> None:
    make(tmp_path, file)
    inputs = {"pairs": tmp_path / file, "images": (tmp_path / file).parent}
    assert sets_by_title(tmp_path)[title].inputs == inputs


def test_a_link_is_known_by_its_own_name(tmp_path: Path) -> None:
    make(tmp_path / "data", "images/pairs.csv")
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "lfw").symlink_to(tmp_path / "data" / "images")
    assert sets_by_title(tmp_path / "sets")["LFW"].inputs["pairs"] == tmp_path / "sets" / "lfw" / "pairs.csv"


def test_the_folder_itself_may_be_one_of_the_sets(tmp_path: Path) -> None:
    make(tmp_path, "cfp/pairs_ff.csv")
    assert sets_by_title(tmp_path / "cfp")["CFP-FF"].inputs["images"] == tmp_path / "cfp"


def test_of_several_forms_of_a_set_the_bin_is_used_and_the_others_are_named(tmp_path: Path) -> None:
    make(tmp_path, "lfw.bin", "lfw/pairs.csv", "lfw/pairs.txt")
    evaluation_set = sets_by_title(tmp_path)["LFW"]
    assert evaluation_set.inputs == {"pairs": tmp_path / "lfw.bin"}
    assert list(evaluation_set.alternatives) == [tmp_path / "lfw" / "pairs.csv", tmp_path / "lfw" / "pairs.txt"]


def test_csv_is_used_before_text(tmp_path: Path) -> None:
    make(tmp_path, "lfw/pairs.txt", "lfw/pairs.csv")
    assert sets_by_title(tmp_path)["LFW"].inputs["pairs"].name == "pairs.csv"


def test_pairs_of_ones_own_come_last_under_their_own_names(tmp_path: Path) -> None:
    make(tmp_path, "guests.bin", "mine/pairs.csv", "mine/pairs_hard.txt", "lfw/pairsDevTest.txt", "mine/people.txt")
    custom = find_evaluation_sets(tmp_path)[0][len(EXPECTED):]
    assert [(item.name, item.inputs["pairs"].name) for item in custom] == [
        ("guests", "guests.bin"), ("lfw-DevTest", "pairsDevTest.txt"), ("mine", "pairs.csv"),
        ("mine-hard", "pairs_hard.txt"),
    ]


def test_a_bin_that_is_no_pickle_is_passed_over_and_named(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    sets, notes = find_evaluation_sets(tmp_path)
    assert len(sets) == len(EXPECTED)
    assert notes == ["ignored, because they are not verification sets of InsightFace: pytorch_model.bin"]


def test_a_bin_of_a_well_known_name_is_never_passed_over(tmp_path: Path) -> None:
    (tmp_path / "lfw.bin").write_bytes(b"damaged")
    assert not sets_by_title(tmp_path)["LFW"].missing


def test_bins_of_other_names_in_subfolders_are_no_sets(tmp_path: Path) -> None:
    make(tmp_path, "features/image_m.bin")
    assert len(find_evaluation_sets(tmp_path)[0]) == len(EXPECTED)


@pytest.mark.parametrize("folder", ["", "megaface/"])
def test_megaface_from_face_sets(tmp_path: Path, folder: str) -> None:
    make(tmp_path, f"{folder}probes/a/1.jpg", f"{folder}distractors/b/1.jpg")
    assert sets_by_title(tmp_path)["MegaFace"].inputs == {
        "probes": tmp_path / folder / "probes", "distractors": tmp_path / folder / "distractors",
    }


def test_megaface_from_the_kit_wherever_its_parts_lie(tmp_path: Path) -> None:
    make(tmp_path, "pack/facescrub_images/a", "pack/megaface_images/a", "devkit/templatelists/a",
         "noise/facescrub_noises.txt", "noise/megaface_noises.txt", "probes/a", "distractors/a")
    evaluation_set = sets_by_title(tmp_path)["MegaFace"]
    assert evaluation_set.inputs == {
        "probes": tmp_path / "pack" / "facescrub_images", "distractors": tmp_path / "pack" / "megaface_images",
        "template_lists": tmp_path / "devkit" / "templatelists", "noise_lists": tmp_path / "noise",
    }
    assert list(evaluation_set.alternatives) == [tmp_path / "probes", tmp_path / "distractors"]


def test_noise_lists_in_a_subfolder_are_sets_by_title(tmp_path: Path) -> None:
    make(tmp_path, "probes/a", "distractors/a", "mf/noise/facescrub_noises.txt", "mf/noise/megaface_noises.txt")
    assert sets_by_title(tmp_path)["MegaFace"].inputs["noise_lists"] == tmp_path / "mf" / "noise"


@pytest.mark.parametrize("subfolders", [
    ("distractors",), ("facescrub_images", "megaface_images"), ("a/probes", "b/distractors"),
])
def test_a_part_of_megaface_is_not_enough_and_is_named(tmp_path: Path, subfolders: tuple[str, ...]) -> None:
    make(tmp_path, *(f"{subfolder}/x" for subfolder in subfolders))
    evaluation_set = sets_by_title(tmp_path)["MegaFace"]
    assert not evaluation_set.inputs
    assert evaluation_set.missing.endswith(f"; there is {', '.join(subfolders)}")


@pytest.mark.parametrize(("file", "title", "meta"), [
    ("ijb/IJBB/meta/ijbb_face_tid_mid.txt", "IJB-B", "ijb/IJBB"), ("ijb/meta/ijbc_face_tid_mid.txt", "IJB-C", "ijb"),
    ("ijb/ijbb_1N_probe_mixed.csv", "IJB-B", "ijb"), ("ijb/test1/verif_templates.csv", "IJB-C", "ijb/test1"),
])
def test_ijb_is_known_by_its_files(tmp_path: Path, file: str, title: str, meta: str) -> None:
    make(tmp_path, file)
    folder = (tmp_path / file).parents[2 if "IJBB" in file else 1]
    evaluation_set = sets_by_title(folder)[title]
    assert (evaluation_set.inputs, list(evaluation_set.alternatives)) == ({"meta": tmp_path / meta}, [])


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none is not a folder; give the one that holds the evaluation sets"):
        find_evaluation_sets(tmp_path / "none")


def test_real_faces(shared: Path) -> None:
    sets, notes = find_evaluation_sets(shared / "faces")
    assert [item.name for item in sets if not item.missing] == ["cfp_ff", "cfp_fp", "cfp_fp_fold1"]
    assert (shared / "faces" / "cfp") == sets[1].inputs["images"]
    assert sets[6].missing.endswith("there is distractors")
    assert notes == []


def test_the_time_grows_with_the_subfolders(tmp_path: Path) -> None:
    """Of 100,000 subfolders nothing came in three minutes."""
    def seconds(count: int) -> float:
        for number in range(count):
            (tmp_path / f"{count}" / f"{number:05d}").mkdir(parents=True)
        times = []
        for _ in range(3):
            begin = time.process_time()
            find_evaluation_sets(tmp_path / f"{count}")
            times.append(time.process_time() - begin)
        return min(times)

    assert seconds(4000) < 24 * seconds(500)  # 8 times if linear, 64 if quadratic


def test_a_subfolder_is_listed_once_and_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, *(f"person{number}/a.jpg" for number in range(50)))
    asked = []
    real = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: asked.append(path) or real(path))
    find_evaluation_sets(tmp_path)
    assert asked == []
