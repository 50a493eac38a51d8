"""Estimated sizes against files: those whose sizes the project publishes, and one that is exported here."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from facekd.deploy.source import ExportFormat, prepare_source
from facekd.deploy.students.file_size import file_bytes
from facekd.deploy.students.layer_counts import count_layers
from facekd.deploy.targets.base import Precision
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.models.registry import create

BENCHMARKS = Path(__file__).resolve().parents[3] / "results" / "benchmarks"
PUBLISHED = {
    "package_mobilefacenet-cpu2.csv": ("mobilefacenet", {}),
    "package_mobilenetv2_050-cpu2.csv": ("mobilenetv2", {"norm": True}),
}
"""The networks of the published packages, 112 px and 128 dimensions each."""
SMALL: dict[str, Any] = {"width": 0.5, "blocks": (1, 0, 0, 0)}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("file", PUBLISHED)
def test_a_published_file_has_the_estimated_size(file: str, precision: Precision) -> None:
    name, options = PUBLISHED[file]
    with (BENCHMARKS / file).open(encoding="utf-8", newline="") as handle:
        megabytes = {row["file"]: float(row["MB"]) for row in csv.DictReader(handle)}[f"onnx {precision}"]
    estimate = file_bytes(count_layers(name, 112, 128, **options), precision)
    assert estimate / 1e6 == pytest.approx(megabytes, rel=0.03)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, int]]:
    """The bytes of exported files and the estimates, by precision; equal weights would be stored once, so they vary."""
    size, embedding = 48, 64
    torch.manual_seed(0)
    network = create("mobilefacenet", size=size, outputs=embedding, **SMALL).eval()
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.ndim == 1:
                nn.init.uniform_(parameter.detach(), 0.1, 0.5)
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and module.running_mean is not None:
            nn.init.normal_(module.running_mean)
    crops = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    source = prepare_source(network, ExportFormat(), "student", crops)
    target, folder = OnnxTarget(), tmp_path_factory.mktemp("export")
    counts = count_layers("mobilefacenet", size, embedding, **SMALL)
    files = {precision: target.convert(source, precision, folder).files[0] for precision in target.precisions}
    return {precision: (file.stat().st_size, file_bytes(counts, precision)) for precision, file in files.items()}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_exported_file_has_the_estimated_size(exported: dict[str, tuple[int, int]], precision: str) -> None:
    size, estimate = exported[precision]
    assert estimate == pytest.approx(size, rel=0.03)
