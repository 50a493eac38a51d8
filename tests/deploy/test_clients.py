"""The clients in docs/deploy.md, one for each runtime: each is extracted from the page and run in its own process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.data import cv2
from facekd.data.alignment.landmarks import REFERENCE_LANDMARKS_112
from facekd.data.synthetic.dataset import render_crop
from facekd.deploy.export import resolve_targets, write_package
from facekd.deploy.package import Package
from facekd.deploy.source import ExportFormat, prepare_source
from facekd.deploy.targets.base import get_target
from facekd.deploy.targets.coreml import read_spec
from facekd.deploy.validation import ExportValidator
from facekd.errors import ExportError
from tests.deploy.conftest import TinyNetwork

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
TARGETS = {"ONNX Runtime": "onnx", "InsightFace": "onnx", "ncnn": "ncnn", "ExecuTorch": "executorch",
           "LiteRT": "litert", "Core ML": "coreml"}
"""The runtime of each client, and the target whose files the client opens."""
FORMATS = {"outside": ExportFormat(), "inside": ExportFormat("uint8", l2_normalized=True)}
"""Scaling and L2 normalization by the client, or inside the files."""
COREML_STUB = '''
from pathlib import Path

import numpy as np
import onnxruntime


class ComputeUnit:
    CPU_ONLY = None


class models:
    class MLModel:
        def __init__(self, path, compute_units):
            assert Path(path).is_dir()
            self.session = onnxruntime.InferenceSession(str(Path(path).with_suffix(".onnx")))

        def predict(self, given):
            assert given["input"].shape == (1, 3, 112, 112) and given["input"].dtype == np.float32
            return {"embedding": self.session.run(None, given)[0]}
'''
"""Replaces coremltools, which predicts on macOS only: it runs the ONNX file next to the Core ML folder."""
Image = NDArray[np.uint8]
PackageFactory = Callable[[str, str], Package]
Process = subprocess.CompletedProcess[str]


def clients() -> dict[str, str]:
    """Return the Python program under each heading, by heading."""
    programs = {}
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        (program,) = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        programs[section.splitlines()[0]] = program
    return programs


@pytest.fixture(scope="module")
def network() -> TinyNetwork:
    torch.manual_seed(112)
    return TinyNetwork(112)


@pytest.fixture(scope="module")
def faces() -> list[Image]:
    return [render_crop(person, 0, 112) for person in (1, 2)]


@pytest.fixture(scope="module")
def make_package(network: TinyNetwork, tmp_path_factory: pytest.TempPathFactory) -> PackageFactory:
    """Returns the package of a target, in all precisions if the client does the scaling; skips without the runtime."""

    @cache
    def make(target: str, placement: str) -> Package:
        try:
            get_target(target).check_installed()
        except ExportError as reason:
            pytest.skip(str(reason))
        crops = np.stack([render_crop(identity, 0, 112) for identity in range(3, 13)])
        source = prepare_source(network, FORMATS[placement], "tiny", crops)
        names = ["coreml", "onnx"] if target == "coreml" else [target]  # `COREML_STUB` runs the ONNX file
        targets = resolve_targets(names, () if placement == "outside" else ("fp32",), calibrated=True)
        out = tmp_path_factory.mktemp("packages") / "package"
        return write_package(source, out, targets, ExportValidator(source), results={}, provenance={})

    return make


@pytest.fixture
def run_client(tmp_path: Path) -> Callable[..., Process]:
    """Run a client on a package and two crops, far from the source tree."""

    def run(runtime: str, package: Package, precision: str, crops: list[Image]) -> Process:
        (tmp_path / "client.py").write_text(clients()[runtime], encoding="utf-8")
        for name, crop in zip("ab", crops, strict=True):
            assert cv2.imwrite(str(tmp_path / f"{name}.png"), cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))
        if runtime == "Core ML":
            (tmp_path / "coremltools.py").write_text(COREML_STUB, encoding="utf-8")
        command = [sys.executable, "client.py", str(package.path), precision, "a.png", "b.png"]
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)

    return run


def cosine(network: TinyNetwork, pixels: list[NDArray[np.float64]]) -> float:
    """Return the cosine of two inputs [3, 112, 112] by the network itself."""
    with torch.no_grad():
        rows = network(torch.from_numpy(np.stack(pixels)).float()).double().numpy()
    return float(rows[0] @ rows[1] / np.linalg.norm(rows[0]) / np.linalg.norm(rows[1]))


def preprocess(crop: Image) -> NDArray[np.float64]:
    return np.moveaxis((crop.astype(np.float64) - 127.5) / 127.5, 2, 0)


def test_every_runtime_has_a_client_of_at_most_30_lines() -> None:
    assert set(clients()) == set(TARGETS)
    assert {name: len(text.splitlines()) for name, text in clients().items() if len(text.splitlines()) > 30} == {}


@pytest.mark.parametrize("runtime", TARGETS)
def test_it_compiles_and_does_not_need_facekd(runtime: str) -> None:
    text = clients()[runtime]
    compile(text, runtime, "exec")
    assert "facekd" not in text


def test_wrong_preprocessing_would_show(network: TinyNetwork, faces: list[Image]) -> None:
    truth = cosine(network, [preprocess(face) for face in faces])
    wrong = {
        "BGR": [preprocess(face)[::-1].copy() for face in faces],
        "scaled twice": [(preprocess(face) - 127.5) / 127.5 for face in faces],
        "not scaled": [np.moveaxis(face.astype(np.float64), 2, 0) for face in faces],
        "transposed": [preprocess(face).transpose(0, 2, 1).copy() for face in faces],
    }
    assert {name: pixels for name, pixels in wrong.items() if abs(cosine(network, pixels) - truth) < 0.01} == {}


@pytest.mark.parametrize("placement", FORMATS)
@pytest.mark.parametrize("runtime", TARGETS)
def test_it_prints_the_cosine_of_the_network(
    make_package: PackageFactory, run_client: Callable[..., Process], network: TinyNetwork, faces: list[Image],
    runtime: str, placement: str,
) -> None:
    process = run_client(runtime, make_package(TARGETS[runtime], placement), "fp32", faces)
    assert process.returncode == 0, process.stderr
    expected = cosine(network, [preprocess(face) for face in faces])
    assert float(process.stdout.split()[-1]) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("runtime", "precision"), [
    ("ONNX Runtime", "fp16"), ("ONNX Runtime", "int8"), ("InsightFace", "int8"), ("ncnn", "fp16"),
    ("ExecuTorch", "int8"), ("LiteRT", "int8"),
])
def test_in_other_precisions_it_prints_the_cosine_that_facekd_computes(
    make_package: PackageFactory, run_client: Callable[..., Process], faces: list[Image], runtime: str,
    precision: str,
) -> None:
    name = TARGETS[runtime]
    package = make_package(name, "outside")
    opened = package.open(f"{name} {precision}")
    first, second = opened.embed(np.stack(faces), flip=False)
    process = run_client(runtime, package, precision, faces)
    assert process.returncode == 0, process.stderr
    assert float(process.stdout.split()[-1]) == pytest.approx(float(first @ second), abs=1e-3)


@pytest.mark.parametrize("runtime", TARGETS)
def test_a_crop_of_another_size_is_refused(
    make_package: PackageFactory, run_client: Callable[..., Process], runtime: str
) -> None:
    small = [render_crop(1, 0, 96), render_crop(2, 0, 96)]
    process = run_client(runtime, make_package(TARGETS[runtime], "outside"), "fp32", small)
    assert process.returncode == 1
    assert "a.png" in process.stderr.splitlines()[-1] and "112x112" in process.stderr.splitlines()[-1]


def test_the_names_for_core_ml_are_those_of_the_package(make_package: PackageFactory) -> None:
    names = re.search(r'predict\(\{"(\w+)": pixels\[None\]\}\)\["(\w+)"\]', clients()["Core ML"])
    package = make_package("coreml", "outside")
    for folder in ("tiny.mlpackage", "tiny.fp16.mlpackage"):
        spec = read_spec(package.path / folder)
        assert names is not None and names.groups() == (spec.input, spec.output)


def test_the_page_lists_the_reference_landmarks() -> None:
    landmarks = re.findall(r"\((\d+\.\d{4}), (\d+\.\d{4})\)", PAGE)
    np.testing.assert_array_equal(np.array(landmarks, np.float64), REFERENCE_LANDMARKS_112)
