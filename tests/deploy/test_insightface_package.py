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

from facekd.data.alignment.landmarks import warp_face
from facekd.deploy.export import write_package
from facekd.deploy.insightface_package import check_insightface_compatibility, write_insightface_package
from facekd.deploy.package import Package
from facekd.deploy.source import ExportFormat, ExportSource, prepare_source
from facekd.deploy.validation import ExportValidator
from facekd.deploy.validation_gate import summarize_cosines
from facekd.errors import DataError, ExportError, ModelError
from facekd.models.registry import Network

CPU = ["CPUExecutionProvider"]
LANDMARKS = np.array([[-4, -4], [4, -3], [0, 1], [-3, 5], [3, 6]], np.float32)
"""Five landmarks of a face relative to the position of its detection, in strides of 8 pixels."""
FORMATS = {"scaled outside": ExportFormat(), "all inside": ExportFormat("uint8", l2_normalized=True)}


@pytest.fixture(scope="module")
def detector(write_scrfd: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scrfd(tmp_path_factory.mktemp("detector") / "scrfd_kps.onnx", LANDMARKS)


def write_onnx_package(source: ExportSource, out: Path) -> Package:
    return write_package(source, out, [("onnx", "fp32")], ExportValidator(source), results={}, provenance={})


@pytest.fixture(scope="module", params=FORMATS)
def source(request: pytest.FixtureRequest, tiny_network: Network) -> ExportSource:
    return prepare_source(tiny_network, FORMATS[request.param], "Übung 1")


@pytest.fixture(scope="module")
def insightface_folder(source: ExportSource, detector: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = write_onnx_package(source, tmp_path_factory.mktemp("package") / "phone")
    write_insightface_package(package, detector, package.path / "insightface")
    return package.path / "insightface"


@pytest.fixture(scope="module")
def package(tiny_network: Network, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A package of facekd that tests must not change."""
    source = prepare_source(tiny_network, ExportFormat(), "tiny")
    return write_onnx_package(source, tmp_path_factory.mktemp("package") / "phone")


def test_insightface_finds_aligns_and_embeds_as_we_do(insightface_folder: Path, source: ExportSource) -> None:
    image = np.random.default_rng(3).integers(0, 160, (40, 40, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    image[320:328, 240:248] = 255, 0, 0
    client = FaceAnalysis(str(insightface_folder), providers=CPU)
    client.prepare(ctx_id=-1)
    (face,) = client.get(np.ascontiguousarray(image[:, :, ::-1]))  # it takes BGR
    np.testing.assert_allclose(face.kps, [240, 320] + 8 * LANDMARKS, atol=1e-3)
    ours = source.embed(warp_face(image, face.kps, source.spec.size)[None])
    assert summarize_cosines(ours, face.embedding[None]).minimum > 0.9999


def test_the_recognizer_alone_is_loaded_by_its_task(
    insightface_folder: Path, source: ExportSource, crops: NDArray[np.uint8]
) -> None:
    client = get_model(str(insightface_folder), model_task="recognition", providers=CPU)
    theirs = client.get_feat([np.ascontiguousarray(crop[:, :, ::-1]) for crop in crops])
    assert summarize_cosines(source.embed(crops), theirs).minimum > 1 - 1e-5


def test_the_manifest_is_one_that_insightface_reads(insightface_folder: Path, source: ExportSource) -> None:
    manifest = pytest.importorskip("insightface.model_zoo.package_manifest", reason="InsightFace 2 reads manifests")
    read = manifest.load_model_package(insightface_folder)
    assert (read.model_id, read.display_name, set(read.tasks)) == (
        "facekd--bung-1", "Übung 1", {"detection", "recognition"}
    )
    task = read.verify_task("recognition").as_config()
    assert (task["input_size"], task["embedding_dimension"]) == ([112, 112], 8)
    inside = source.format.input_dtype == "uint8"
    assert task["preprocessing"] == ("embedded" if inside else {"mean": 127.5, "std": 127.5})


def test_no_license_is_claimed_that_nobody_gave(insightface_folder: Path) -> None:
    licenses = pytest.importorskip("insightface.model_zoo.model_license", reason="InsightFace 2 knows licenses")
    assert licenses.inspect_model_package_license(insightface_folder).status == "default_non_commercial"
    assert "license_weights: unknown" in (insightface_folder / "card.md").read_text()


@pytest.mark.parametrize("task", ["detection", "recognition"])
def test_insightface_refuses_a_file_that_was_changed(insightface_folder: Path, tmp_path: Path, task: str) -> None:
    manifest = pytest.importorskip("insightface.model_zoo.package_manifest", reason="InsightFace 2 reads manifests")
    folder = shutil.copytree(insightface_folder, tmp_path / "copy")
    with (folder / f"{task}.onnx").open("ab") as file:
        file.write(b"0")
    with pytest.raises(RuntimeError, match="SHA-256 mismatch"):
        manifest.load_model_package(folder).verify_task(task)


def test_it_holds_these_files_and_nothing_is_left_next_to_it(insightface_folder: Path) -> None:
    files = {path.name for path in insightface_folder.iterdir()}
    assert files == {"detection.onnx", "recognition.onnx", "manifest.json", "card.md"}
    package_files = {path.name for path in insightface_folder.parent.iterdir()}
    assert package_files == {"insightface", "Übung 1.onnx", "card.md", "metadata.json"}


def test_a_detector_for_images_of_one_size_is_accepted(write_scrfd: Callable[..., Path], tmp_path: Path) -> None:
    assert check_insightface_compatibility(112, ["onnx"], write_scrfd(tmp_path / "d.onnx", size=640)) is None


def test_yunet_is_refused_as_the_detector(shared: Path, package: Package, tmp_path: Path) -> None:
    yunet = shared / "faces" / "detector" / "yunet_n_640_640.onnx"
    with pytest.raises(ExportError, match=r"yunet_n_640_640.onnx cannot be .*: it is a YuNet; give an SCRFD"):
        write_insightface_package(package, yunet, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"values": (1, 4)}, ModelError, "no detector that gives five points: its 6 outputs"),
    ({"values": (1, 4, 6)}, ModelError, "no detector that gives five points: its 9 outputs"),
    ({"values": (4, 1, 10)}, ModelError, "no detector that gives five points: its 9 outputs"),
    ({"anchors": 1}, ExportError, "InsightFace fails to run it .*; give an SCRFD"),
])  # fmt: skip
def test_a_detector_of_another_form_is_refused(
    write_scrfd: Callable[..., Path], package: Package, tmp_path: Path, options: dict[str, Any],
    error: type[Exception], message: str,
) -> None:
    other = write_scrfd(tmp_path / "other.onnx", **options)
    with pytest.raises(error, match=message):
        write_insightface_package(package, other, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [other]


def test_no_detector_at_all(package: Package, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        write_insightface_package(package, tmp_path / "d.onnx", tmp_path / "out")
    (tmp_path / "d.onnx").write_bytes(b"\xff no ONNX file")
    with pytest.raises(ModelError, match="cannot be read as an ONNX file"):
        write_insightface_package(package, tmp_path / "d.onnx", tmp_path / "out")


@pytest.mark.parametrize("size", [48, 112, 120, 128, 144, 192, 224, 256, 320])
def test_sizes_are_those_that_insightface_aligns_to(size: int, detector: Path) -> None:
    try:
        face_align.estimate_norm(LANDMARKS, size)
    except AssertionError:
        with pytest.raises(ExportError, match=f"{size}x{size}"):
            check_insightface_compatibility(size, ["onnx"], detector)
    else:
        assert check_insightface_compatibility(size, ["onnx"], detector) is None


def test_a_package_without_an_onnx_file_is_refused(detector: Path) -> None:
    with pytest.raises(ExportError, match="this package has litert, ncnn alone; export to onnx as well"):
        check_insightface_compatibility(112, ["ncnn", "litert"], detector)


def test_existing_files_are_not_touched(package: Package, detector: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(ExportError, match="exists and is not an empty folder"):
        write_insightface_package(package, detector, tmp_path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("mine", "mine")]


def test_a_recognizer_of_48_pixels_is_refused(package: Package, detector: Path, tmp_path: Path) -> None:
    small = replace(package, metadata=package.metadata | {"size": 48})
    with pytest.raises(ExportError, match=r"aligns faces to 112 or 128 pixels and .* takes 48x48; distill one of 112"):
        write_insightface_package(small, detector, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
