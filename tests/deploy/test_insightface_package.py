from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from insightface.app import FaceAnalysis
from insightface.model_zoo import get_model
from insightface.utils import face_align
from numpy.typing import NDArray

from facekd.data.alignment.landmarks import warp
from facekd.deploy.export import write_package
from facekd.deploy.insightface_package import demand_insightface, write_insightface_package
from facekd.deploy.package import Package
from facekd.deploy.source import Form, Source, freeze
from facekd.deploy.validation import Prover
from facekd.deploy.validation_gate import cosines
from facekd.errors import DataError, ExportError, ModelError
from facekd.models.registry import Network

CPU = ["CPUExecutionProvider"]
FIVE = np.array([[-4, -4], [4, -3], [0, 1], [-3, 5], [3, 6]], np.float32)
"""Five points of a face around the place where it was found, in strides of 8 pixels."""
FORMS = {"scaled outside": Form(), "all inside": Form("uint8", unit=True)}
@pytest.fixture(scope="module")
def detector(write_scrfd: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scrfd(tmp_path_factory.mktemp("detector") / "scrfd_kps.onnx", FIVE)


def package(source: Source, out: Path) -> Package:
    return write_package(source, out, [("onnx", "fp32")], Prover(source), results={}, provenance={})


@pytest.fixture(scope="module", params=FORMS)
def source(request: pytest.FixtureRequest, tiny: Network) -> Source:
    return freeze(tiny, FORMS[request.param], "Übung 1")


@pytest.fixture(scope="module")
def written(source: Source, detector: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = package(source, tmp_path_factory.mktemp("package") / "phone")
    write_insightface_package(made, detector, made.path / "insightface")
    return made.path / "insightface"


@pytest.fixture(scope="module")
def made(tiny: Network, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A package of ours, not to be changed."""
    return package(freeze(tiny, Form(), "tiny"), tmp_path_factory.mktemp("made") / "phone")


def test_insightface_finds_aligns_and_embeds_as_we_do(written: Path, source: Source) -> None:
    picture = np.random.default_rng(3).integers(0, 160, (40, 40, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    picture[320:328, 240:248] = 255, 0, 0
    client = FaceAnalysis(str(written), providers=CPU)
    client.prepare(ctx_id=-1)
    (face,) = client.get(np.ascontiguousarray(picture[:, :, ::-1]))  # it takes BGR
    np.testing.assert_allclose(face.kps, [240, 320] + 8 * FIVE, atol=1e-3)
    ours = source.embed(warp(picture, face.kps, source.spec.size)[None])
    assert cosines(ours, face.embedding[None]).minimum > 0.9999


def test_the_recogniser_alone_is_had_by_its_task(written: Path, source: Source, crops: NDArray[np.uint8]) -> None:
    client = get_model(str(written), model_task="recognition", providers=CPU)
    theirs = client.get_feat([np.ascontiguousarray(crop[:, :, ::-1]) for crop in crops])
    assert cosines(source.embed(crops), theirs).minimum > 1 - 1e-5


def test_the_manifest_is_one_that_insightface_reads(written: Path, source: Source) -> None:
    manifest = pytest.importorskip("insightface.model_zoo.package_manifest", reason="InsightFace 2 reads manifests")
    read = manifest.load_model_package(written)
    assert (read.model_id, read.display_name, set(read.tasks)) == (
        "facekd--bung-1", "Übung 1", {"detection", "recognition"}
    )
    task = read.verify_task("recognition").as_config()
    assert (task["input_size"], task["embedding_dimension"]) == ([112, 112], 8)
    inside = source.form.pixels == "uint8"
    assert task["preprocessing"] == ("embedded" if inside else {"mean": 127.5, "std": 127.5})


def test_no_licence_is_claimed_that_nobody_gave(written: Path) -> None:
    licences = pytest.importorskip("insightface.model_zoo.model_license", reason="InsightFace 2 knows licences")
    assert licences.inspect_model_package_license(written).status == "default_non_commercial"
    assert "licence_weights: unknown" in (written / "card.md").read_text()


@pytest.mark.parametrize("task", ["detection", "recognition"])
def test_insightface_refuses_a_file_that_was_changed(written: Path, tmp_path: Path, task: str) -> None:
    manifest = pytest.importorskip("insightface.model_zoo.package_manifest", reason="InsightFace 2 reads manifests")
    folder = shutil.copytree(written, tmp_path / "copy")
    with (folder / f"{task}.onnx").open("ab") as file:
        file.write(b"0")
    with pytest.raises(RuntimeError, match="SHA-256 mismatch"):
        manifest.load_model_package(folder).verify_task(task)


def test_it_holds_these_files_and_nothing_is_left_beside_it(written: Path) -> None:
    assert {p.name for p in written.iterdir()} == {"detection.onnx", "recognition.onnx", "manifest.json", "card.md"}
    assert {p.name for p in written.parent.iterdir()} == {"insightface", "Übung 1.onnx", "card.md", "metadata.json"}


def test_a_detector_may_take_pictures_of_one_size(write_scrfd: Callable[..., Path], tmp_path: Path) -> None:
    demand_insightface(112, ["onnx"], write_scrfd(tmp_path / "d.onnx", size=640))


def test_yunet_is_no_detector_of_a_package(shared: Path, made: Package, tmp_path: Path) -> None:
    yunet = shared / "faces" / "detector" / "yunet_n_640_640.onnx"
    with pytest.raises(ExportError, match=r"yunet_n_640_640.onnx cannot be .*: it is a YuNet; give an SCRFD"):
        write_insightface_package(made, yunet, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("form", "error", "message"), [
    ({"values": (1, 4)}, ModelError, "no detector that gives five points: its 6 outputs"),
    ({"values": (1, 4, 6)}, ModelError, "no detector that gives five points: its 9 outputs"),
    ({"values": (4, 1, 10)}, ModelError, "no detector that gives five points: its 9 outputs"),
    ({"anchors": 1}, ExportError, "InsightFace fails to run it .*; give an SCRFD"),
])  # fmt: skip
def test_a_detector_of_another_form_is_refused(
    write_scrfd: Callable[..., Path], made: Package, tmp_path: Path, form: dict[str, Any], error: type[Exception],
    message: str,
) -> None:
    other = write_scrfd(tmp_path / "other.onnx", **form)
    with pytest.raises(error, match=message):
        write_insightface_package(made, other, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [other]


def test_no_detector_at_all(made: Package, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        write_insightface_package(made, tmp_path / "d.onnx", tmp_path / "out")
    (tmp_path / "d.onnx").write_bytes(b"\xff no ONNX file")
    with pytest.raises(ModelError, match="cannot be read as an ONNX file"):
        write_insightface_package(made, tmp_path / "d.onnx", tmp_path / "out")


@pytest.mark.parametrize("size", [48, 112, 120, 128, 144, 192, 224, 256, 320])
def test_sizes_are_those_that_insightface_aligns_to(size: int, detector: Path) -> None:
    try:
        face_align.estimate_norm(FIVE, size)
    except AssertionError:
        with pytest.raises(ExportError, match=f"{size}x{size}"):
            demand_insightface(size, ["onnx"], detector)
    else:
        demand_insightface(size, ["onnx"], detector)


def test_a_package_without_an_onnx_file_is_refused(detector: Path) -> None:
    with pytest.raises(ExportError, match="this package has litert, ncnn alone; export to onnx as well"):
        demand_insightface(112, ["ncnn", "litert"], detector)


def test_what_is_there_is_not_touched(made: Package, detector: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(ExportError, match="exists and is not an empty folder"):
        write_insightface_package(made, detector, tmp_path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("mine", "mine")]


def test_a_recogniser_of_48_pixels_is_refused(made: Package, detector: Path, tmp_path: Path) -> None:
    small = replace(made, metadata=made.metadata | {"size": 48})
    with pytest.raises(ExportError, match=r"aligns faces to 112 or 128 pixels and .* takes 48x48; distil one of 112"):
        write_insightface_package(small, detector, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
