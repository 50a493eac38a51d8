"""docs/deploy.md shows a client for every runtime; each is taken from the page and run in a process of its own."""

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
from facekd.data.alignment.landmarks import TEMPLATE
from facekd.data.synthetic.dataset import render
from facekd.deploy.export import wishes, write_package
from facekd.deploy.package import Package
from facekd.deploy.source import Form, freeze
from facekd.deploy.targets.base import target_of
from facekd.deploy.targets.coreml import read_spec
from facekd.deploy.validation import Prover
from facekd.errors import ExportError
from tests.deploy.conftest import Tiny

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "deploy.md").read_text(encoding="utf-8")
TARGETS = {"ONNX Runtime": "onnx", "InsightFace": "onnx", "ncnn": "ncnn", "ExecuTorch": "executorch",
           "LiteRT": "litert", "Core ML": "coreml"}
"""The runtime of each client, and the target whose files it opens."""
FORMS = {"outside": Form(), "inside": Form("uint8", unit=True)}
"""Packages of both kinds: scaling and unit length left to the client, or inside the files."""
MACOS = '''
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
"""Stands in for coremltools, which predicts on macOS only: it runs the ONNX file beside the Core ML folder."""
Image = NDArray[np.uint8]
Packages = Callable[[str, str], Package]
Ran = subprocess.CompletedProcess[str]


def clients() -> dict[str, str]:
    """The block of Python under each heading, by heading."""
    found = {}
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        (found[section.splitlines()[0]],) = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    return found


@pytest.fixture(scope="module")
def network() -> Tiny:
    torch.manual_seed(112)
    return Tiny(112)


@pytest.fixture(scope="module")
def faces() -> list[Image]:
    return [render(person, 0, 112) for person in (1, 2)]


@pytest.fixture(scope="module")
def packages(network: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """A package of a target in a form, every precision in the first one; without the target's runtime, a skip."""

    @cache
    def make(target: str, form: str) -> Package:
        try:
            target_of(target).demand()
        except ExportError as reason:
            pytest.skip(str(reason))
        source = freeze(network, FORMS[form], "tiny", np.stack([render(person, 0, 112) for person in range(3, 13)]))
        beside = ["onnx"] if target == "coreml" else []  # what runs in its place
        wanted = wishes([target, *beside], () if form == "outside" else ("fp32",), calibrated=True)
        out = tmp_path_factory.mktemp("packages") / "package"
        return write_package(source, out, wanted, Prover(source, None, None, None), results={}, provenance={})

    return make


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., Ran]:
    """Run a client on a package and two crops, far from the source tree."""

    def run(runtime: str, package: Package, precision: str, crops: list[Image]) -> Ran:
        (tmp_path / "client.py").write_text(clients()[runtime], encoding="utf-8")
        for name, crop in zip("ab", crops, strict=True):
            assert cv2.imwrite(str(tmp_path / f"{name}.png"), cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))
        if runtime == "Core ML":
            (tmp_path / "coremltools.py").write_text(MACOS, encoding="utf-8")
        words = [sys.executable, "client.py", str(package.path), precision, "a.png", "b.png"]
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(words, cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=300, check=False)

    return run


def cosine(network: Tiny, pixels: list[NDArray[np.float64]]) -> float:
    """Of two inputs [3, 112, 112], by the network itself."""
    with torch.no_grad():
        rows = network(torch.from_numpy(np.stack(pixels)).float()).double().numpy()
    return float(rows[0] @ rows[1] / np.linalg.norm(rows[0]) / np.linalg.norm(rows[1]))


def right(crop: Image) -> NDArray[np.float64]:
    return np.moveaxis((crop.astype(np.float64) - 127.5) / 127.5, 2, 0)


def test_every_runtime_has_a_client_of_at_most_30_lines() -> None:
    assert set(clients()) == set(TARGETS)
    assert {name: len(text.splitlines()) for name, text in clients().items() if len(text.splitlines()) > 30} == {}


@pytest.mark.parametrize("runtime", TARGETS)
def test_it_compiles_and_does_without_facekd(runtime: str) -> None:
    text = clients()[runtime]
    compile(text, runtime, "exec")
    assert "facekd" not in text


def test_wrong_feeding_would_show(network: Tiny, faces: list[Image]) -> None:
    truth = cosine(network, [right(face) for face in faces])
    wrong = {
        "BGR": [right(face)[::-1].copy() for face in faces],
        "scaled twice": [(right(face) - 127.5) / 127.5 for face in faces],
        "not scaled": [np.moveaxis(face.astype(np.float64), 2, 0) for face in faces],
        "turned": [right(face).transpose(0, 2, 1).copy() for face in faces],
    }
    assert {name: pixels for name, pixels in wrong.items() if abs(cosine(network, pixels) - truth) < 0.01} == {}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("runtime", TARGETS)
def test_it_prints_the_cosine_of_the_network(
    packages: Packages, compared: Callable[..., Ran], network: Tiny, faces: list[Image],
    runtime: str, form: str,
) -> None:
    done = compared(runtime, packages(TARGETS[runtime], form), "fp32", faces)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) == pytest.approx(cosine(network, [right(face) for face in faces]), abs=1e-3)


@pytest.mark.parametrize(("runtime", "precision"), [
    ("ONNX Runtime", "fp16"), ("ONNX Runtime", "int8"), ("InsightFace", "int8"), ("ncnn", "fp16"),
    ("ExecuTorch", "int8"), ("LiteRT", "int8"),
])
def test_in_other_precisions_it_prints_what_facekd_gets_of_the_file(
    packages: Packages, compared: Callable[..., Ran], faces: list[Image], runtime: str,
    precision: str,
) -> None:
    name = TARGETS[runtime]
    package = packages(name, "outside")
    opened = package.open(f"{name} {precision}")
    first, second = opened.embed(np.stack(faces), flip=False)
    done = compared(runtime, package, precision, faces)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) == pytest.approx(float(first @ second), abs=1e-3)


@pytest.mark.parametrize("runtime", TARGETS)
def test_a_crop_of_another_size_is_refused(
    packages: Packages, compared: Callable[..., Ran], runtime: str
) -> None:
    done = compared(runtime, packages(TARGETS[runtime], "outside"), "fp32", [render(1, 0, 96), render(2, 0, 96)])
    assert done.returncode == 1
    assert "a.png" in done.stderr.splitlines()[-1] and "112x112" in done.stderr.splitlines()[-1]


def test_core_ml_s_names_are_those_of_the_package(packages: Packages) -> None:
    names = re.search(r'predict\(\{"(\w+)": pixels\[None\]\}\)\["(\w+)"\]', clients()["Core ML"])
    package = packages("coreml", "outside")
    for folder in ("tiny.mlpackage", "tiny.fp16.mlpackage"):
        spec = read_spec(package.path / folder)
        assert names is not None and names.groups() == (spec.input, spec.output)


def test_the_template_is_told_as_it_is() -> None:
    told = re.findall(r"\((\d+\.\d{4}), (\d+\.\d{4})\)", PAGE)
    np.testing.assert_array_equal(np.array(told, np.float64), TEMPLATE)
