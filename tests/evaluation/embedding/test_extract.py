from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.containers.path_list import ListedImages
from facekd.data.features.opening import write_features
from facekd.data.features.provenance import read_provenance
from facekd.data.unlabeled import WithoutLabels
from facekd.errors import DataError, SetupError
from facekd.evaluation.embedding import growing_array
from facekd.evaluation.embedding.embed import embed_batches
from facekd.evaluation.embedding.extract import extract
from facekd.evaluation.types import Float32Array
from facekd.models.embedder import Embedder
from tests.evaluation.toy import MeanColors
from tests.held_lock import held_lock

COUNT, BATCH = 23, 5
PATHS = [f"p{number // 4}/{number}.png" for number in range(COUNT)]


@pytest.fixture
def images(tmp_path: Path) -> ListedImages:
    rng = np.random.default_rng(0)
    for path in PATHS:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / path), rng.integers(0, 256, (8, 8, 3), np.uint8))
    return ListedImages(tmp_path, PATHS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "new" / "f.npy"


def embedded(images: ListedImages, flip: bool = False) -> Float32Array:
    """The embeddings of all images, without a file."""
    return np.concatenate(list(embed_batches(MeanColors(), images, flip, BATCH)))


def run(images: ListedImages, out: Path, model: Embedder | None = None, flip: bool = False,
        half: bool = False) -> Float32Array:
    return extract(model or MeanColors(), images, out, flip, half, BATCH).read_rows(0, COUNT)


def run_and_kill(images: ListedImages, out: Path, batches: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(images, out, MeanColors(batches))


def files_next_to(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.iterdir()) if out.parent.exists() else []


FINISHED = ["f.json", "f.labels.npy", "f.names.txt", "f.npy"]
PARTIAL = ["f.npy.partial", "f.npy.partial.json"]


@pytest.mark.parametrize("flip", [True, False])
def test_the_embeddings_are_those_computed_in_one_go(images: ListedImages, out: Path, flip: bool) -> None:
    assert np.array_equal(run(images, out, flip=flip), embedded(images, flip))
    assert np.array_equal(np.load(out), embedded(images, flip))


def test_labels_names_and_provenance_are_written(images: ListedImages, out: Path) -> None:
    run(images, out)
    assert files_next_to(out) == FINISHED
    assert np.load(out.with_suffix(".labels.npy")).tolist() == [number // 4 for number in range(COUNT)]
    assert out.with_suffix(".names.txt").read_text().splitlines() == PATHS
    provenance = json.loads(out.with_suffix(".json").read_text())
    assert provenance["name"] == "mean colors"
    assert provenance["identity"]["model"] == "0" * 64
    assert "facekd" in provenance["environment"]["versions"]


def test_half_halves_the_file_and_rounds(images: ListedImages, out: Path) -> None:
    rows = run(images, out, half=True)
    assert np.load(out).dtype == np.float16
    assert np.array_equal(rows, embedded(images).astype(np.float16).astype(np.float32))


def test_rows_keep_the_length_the_model_gave_them(images: ListedImages, out: Path) -> None:
    """The mean colors of noise are near 127, the square root of six of them together near 300."""
    lengths = np.linalg.norm(run(images, out), axis=1)
    assert lengths.min() > 250 and lengths.std() > 1


@pytest.mark.parametrize("scale", [1e-6, 1e3])
def test_lengths_that_half_cannot_hold_are_refused(images: ListedImages, out: Path, scale: float) -> None:
    class Scaled(MeanColors):
        def forward(self, crops: NDArray[np.uint8]) -> Float32Array:
            return super().forward(crops) * np.float32(scale)

    with pytest.raises(DataError, match=rf"embedding of {images.location(0)} has length .*; embed without --float16"):
        run(images, out, Scaled(), half=True)
    assert files_next_to(out) == []


def test_a_feature_file_says_what_made_it(images: ListedImages, out: Path) -> None:
    run(images, out)
    made = read_provenance(out)
    assert made is not None
    assert (made.model, made.name, made.flip, made.size, made.rows) == ("0" * 64, "mean colors", False, 8, COUNT)


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_killed_and_run_again_it_continues(images: ListedImages, out: Path, batches: int) -> None:
    run_and_kill(images, out, batches)
    assert files_next_to(out) == (PARTIAL if batches else [])
    model = MeanColors()
    assert np.array_equal(run(images, out, model), embedded(images))
    assert sum(model.batch_sizes) == COUNT - batches * BATCH
    assert files_next_to(out) == FINISHED


def test_killed_twice_it_continues(images: ListedImages, out: Path) -> None:
    run_and_kill(images, out, 1)
    run_and_kill(images, out, 2)
    model = MeanColors()
    assert np.array_equal(run(images, out, model), embedded(images))
    assert sum(model.batch_sizes) == COUNT - 3 * BATCH


def test_rows_after_the_last_note_are_computed_again(images: ListedImages, out: Path) -> None:
    """As a hard kill leaves it: rows that were written, but not noted, or half a row."""
    run_and_kill(images, out, 2)
    with (out.parent / "f.npy.partial").open("ab") as handle:
        handle.write(b"\xff" * 31)
    assert np.array_equal(run(images, out), embedded(images))


def test_the_note_is_written_every_few_seconds(
    images: ListedImages, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted_rows = list[int]()

    class Watcher(MeanColors):
        def forward(self, crops: NDArray[np.uint8]) -> Float32Array:
            noted_rows.append(json.loads((out.parent / "f.npy.partial.json").read_text())["rows_written"])
            return super().forward(crops)

    clock = iter(range(0, 10_000, 3))
    monkeypatch.setattr("facekd.evaluation.embedding.growing_array.time.monotonic", lambda: next(clock))
    run(images, out, Watcher())
    assert noted_rows[0] == 0 and noted_rows == sorted(noted_rows) and noted_rows[-1] >= 2 * BATCH


@pytest.mark.parametrize("other", ["model", "flip", "type", "images"])
def test_a_partial_of_something_else_is_begun_anew_with_a_message(
    images: ListedImages, out: Path, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_and_kill(images, out, 2)
    model = MeanColors()
    if other == "model":
        model.fingerprint = "1" * 64
    if other == "images":
        images.labels = images.labels[::-1].copy()
    run(images, out, model, flip=other == "flip", half=other == "type")
    assert sum(model.batch_sizes) == (2 * COUNT if other == "flip" else COUNT)
    messages = " ".join(capsys.readouterr().err.split())
    assert "f.npy.partial is begun anew: another model, other settings or other images were used" in messages


@pytest.mark.parametrize("damage", ["cut", "header", "note"])
def test_a_damaged_partial_is_begun_anew(images: ListedImages, out: Path, damage: str) -> None:
    run_and_kill(images, out, 2)
    file = out.parent / ("f.npy.partial.json" if damage == "note" else "f.npy.partial")
    data = file.read_bytes()
    file.write_bytes(b"X" + data[1:] if damage == "header" else data[:-9])
    model = MeanColors()
    assert np.array_equal(run(images, out, model), embedded(images))
    assert sum(model.batch_sizes) == COUNT


def test_a_finished_file_is_used_again(images: ListedImages, out: Path) -> None:
    run(images, out)
    model = MeanColors(0)
    assert np.array_equal(run(images, out, model), embedded(images))
    assert model.batch_sizes == []


def test_a_finished_file_of_another_model_stays_until_the_new_one_is_complete(images: ListedImages, out: Path) -> None:
    run(images, out, flip=True)
    run_and_kill(images, out, 2)
    assert np.array_equal(np.load(out), embedded(images, flip=True))
    assert np.array_equal(run(images, out), embedded(images))
    assert files_next_to(out) == FINISHED


def test_changed_pixels_are_seen(images: ListedImages, out: Path) -> None:
    run(images, out)
    for path in PATHS:
        cv2.imwrite(str(images.path / path), np.full((8, 8, 3), 77, np.uint8))
    assert np.array_equal(run(images, out), embedded(images))


@pytest.mark.parametrize("damage", ["features", "labels", "foreign"])
def test_a_finished_file_that_was_damaged_is_made_again(images: ListedImages, out: Path, damage: str) -> None:
    run(images, out)
    if damage == "features":
        out.write_bytes(out.read_bytes()[:-1])
    elif damage == "labels":
        np.save(out.with_suffix(".labels.npy"), np.arange(3))
    else:
        write_features(out, np.ones((COUNT, 6), np.float32))
    assert np.array_equal(run(images, out), embedded(images))
    assert files_next_to(out) == FINISHED


def test_an_image_without_an_embedding_is_named_and_the_rest_kept(images: ListedImages, out: Path) -> None:
    cv2.imwrite(images.location(13), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match=rf"{images.location(13)} is zero or not finite"):
        run(images, out)
    assert json.loads((out.parent / "f.npy.partial.json").read_text())["rows_written"] == 10


class FullDisk(io.FileIO):
    """A file whose fourth write, the third batch, stops after 30 bytes."""

    writes = 0

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.writes += 1
        if self.writes == 4:
            super().write(data[:30])
            raise OSError(28, "No space left on device")
        return super().write(data)


def test_a_full_disk_is_explained_and_the_noted_rows_stay(
    images: ListedImages, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(SetupError, match=r"the disk is full: .*\.partial could not be"):
        patch.setattr(growing_array, "open", lambda path, mode, buffering: FullDisk(path, mode), raising=False)
        run(images, out)
    assert files_next_to(out) == PARTIAL
    assert np.array_equal(run(images, out), embedded(images))


def test_another_ending_is_refused_before_all_else(images: ListedImages, out: Path) -> None:
    with pytest.raises(DataError, match=r"f\.bin: a feature file ends in \.npy"):
        run(images, out.with_suffix(".bin"))
    assert not out.parent.exists()


def test_a_folder_in_the_way_is_refused_before_the_work(images: ListedImages, out: Path) -> None:
    out.mkdir(parents=True)
    model = MeanColors(0)
    with pytest.raises(SetupError, match=r"f\.npy is a folder, the output is a file; choose another output"):
        run(images, out, model)
    assert model.batch_sizes == []


def test_a_file_that_another_process_writes_is_left_alone(images: ListedImages, out: Path) -> None:
    run(images, out, flip=True)
    before = out.read_bytes()
    model = MeanColors(0)
    with held_lock(out), pytest.raises(SetupError, match=r"f\.npy is being written by process"):
        run(images, out, model)
    assert (out.read_bytes(), model.batch_sizes) == (before, [])


def test_finished_features_are_read_while_another_process_holds_the_lock(images: ListedImages, out: Path) -> None:
    """As in a folder that cannot be written: reading needs no lock."""
    run(images, out)
    with held_lock(out):
        assert np.array_equal(run(images, out, MeanColors(0)), embedded(images))


def test_two_processes_at_once_lose_nothing(images: ListedImages, out: Path) -> None:
    """The one that comes second is refused while the first one works; the finished file is that of the first."""

    class Second(MeanColors):
        def forward(self, crops: NDArray[np.uint8]) -> Float32Array:
            if not self.batch_sizes:
                code = ("import sys; from pathlib import Path; from facekd.io.locks import lock_output\n"
                        "with lock_output(Path(sys.argv[1])): pass")
                second = subprocess.run([sys.executable, "-c", code, str(out)], capture_output=True, text=True,
                                        check=False)
                assert "f.npy is being written by process" in second.stderr
            return super().forward(crops)

    assert np.array_equal(run(images, out, Second()), embedded(images))
    assert files_next_to(out) == FINISHED


def test_a_set_without_labels_gets_no_labels(images: ListedImages, out: Path) -> None:
    assert extract(MeanColors(), WithoutLabels(images), out).labels is None
    assert not out.with_name("f.labels.npy").exists()
