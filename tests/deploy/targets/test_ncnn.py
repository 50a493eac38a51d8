from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.deploy.source import ExportFormat, ExportSource, IOSpec, prepare_source
from facekd.deploy.targets.base import ConvertedFiles, Precision
from facekd.deploy.targets.ncnn import NcnnEmbedder, NcnnTarget, read_param
from facekd.deploy.validation_gate import summarize_cosines
from facekd.errors import ExportError
from facekd.models.registry import Network

pytest.importorskip("ncnn", reason="pip install 'facekd[ncnn]'")
pytest.importorskip("pnnx", reason="pip install 'facekd[ncnn]'")


@pytest.fixture(scope="module")
def source(tiny_network: Network) -> ExportSource:
    return prepare_source(tiny_network, ExportFormat(), "tiny")


@pytest.fixture(scope="module")
def converted(source: ExportSource, tmp_path_factory: pytest.TempPathFactory) -> dict[Precision, ConvertedFiles]:
    folder = tmp_path_factory.mktemp("ncnn")
    return {precision: NcnnTarget().convert(source, precision, folder) for precision in NcnnTarget.precisions}


def test_only_the_two_files_are_left(converted: dict[Precision, ConvertedFiles]) -> None:
    names = sorted(file.name for file in converted["fp32"].files[0].parent.iterdir())
    assert names == ["tiny.fp16.ncnn.bin", "tiny.fp16.ncnn.param", "tiny.ncnn.bin", "tiny.ncnn.param"]


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 1e-2)])
def test_the_files_give_the_embeddings_of_the_network(
    converted: dict[Precision, ConvertedFiles], source: ExportSource, crops: NDArray[np.uint8], precision: Precision,
    tolerance: float, batch: int,
) -> None:
    embedder = NcnnTarget().open(converted[precision].files, source.io_spec)
    expected = source.embed(crops[:batch])
    np.testing.assert_allclose(embedder.forward(crops[:batch]), expected, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.999999), ("fp16", 0.99999)])
def test_cosines_to_the_network_are_near_1(
    converted: dict[Precision, ConvertedFiles], source: ExportSource, crops: NDArray[np.uint8], precision: Precision,
    least: float,
) -> None:
    embedder = NcnnTarget().open(converted[precision].files, source.io_spec)
    assert summarize_cosines(source.embed(crops), embedder.forward(crops)).minimum > least


def test_scaling_and_unit_length_go_into_the_file(
    tiny_network: Network, crops: NDArray[np.uint8], tmp_path: Path
) -> None:
    source = prepare_source(tiny_network, ExportFormat("uint8", l2_normalized=True), "tiny")
    converted = NcnnTarget().convert(source, "fp32", tmp_path)
    embeddings = NcnnTarget().open(converted.files, source.io_spec).forward(crops)
    expected = source.embed(crops).astype(np.float64)
    np.testing.assert_allclose(embeddings, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


def test_embeddings_outlive_later_runs(
    converted: dict[Precision, ConvertedFiles], source: ExportSource, crops: NDArray[np.uint8]
) -> None:
    embedder = NcnnTarget().open(converted["fp32"].files, source.io_spec)
    first = embedder.forward(crops[:1])
    copy = first.copy()
    embedder.forward(crops)
    np.testing.assert_array_equal(first, copy)


def test_no_crops_give_no_embeddings(
    converted: dict[Precision, ConvertedFiles], source: ExportSource, crops: NDArray[np.uint8]
) -> None:
    assert NcnnTarget().open(converted["fp32"].files, source.io_spec).forward(crops[:0]).shape == (0, 8)


def test_two_threads_give_the_same_embeddings(
    converted: dict[Precision, ConvertedFiles], source: ExportSource, crops: NDArray[np.uint8]
) -> None:
    files = converted["fp32"].files
    one, two = (NcnnTarget().open(files, source.io_spec, threads).forward(crops) for threads in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


def test_float16_files_have_half_the_bytes(converted: dict[Precision, ConvertedFiles]) -> None:
    full, half = (converted[precision].files[1].stat().st_size for precision in NcnnTarget.precisions)
    assert half < 0.52 * full


def test_float32_files_are_not_computed_in_float16(
    converted: dict[Precision, ConvertedFiles], source: ExportSource
) -> None:
    full, half = (NcnnEmbedder(converted[kind].files, source.io_spec, 1) for kind in NcnnTarget.precisions)
    assert (full.net.opt.use_fp16_arithmetic, half.net.opt.use_fp16_arithmetic) == (False, True)


def test_ncnn_s_own_prelu_is_used_and_batch_norm_is_gone(converted: dict[Precision, ConvertedFiles]) -> None:
    layers = read_param(converted["fp32"].files[0]).layers
    assert "PReLU" in layers and "BatchNorm" not in layers


def test_the_fingerprint_depends_on_the_weights(
    converted: dict[Precision, ConvertedFiles], make_tiny_network: Callable[[int], Network], source: ExportSource,
    tmp_path: Path,
) -> None:
    network = make_tiny_network(112)
    with torch.no_grad():
        next(network.parameters()).mul_(1.5)
    other = NcnnTarget().convert(prepare_source(network, ExportFormat(), "tiny"), "fp32", tmp_path)
    first, second, changed = (
        NcnnTarget().open(files, source.io_spec).fingerprint
        for files in (converted["fp32"].files, converted["fp32"].files, other.files)
    )
    assert first == second != changed


def test_conversion_is_silent(source: ExportSource, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    NcnnTarget().convert(source, "fp32", tmp_path)
    assert capfd.readouterr() == ("", "")


def test_an_operator_that_ncnn_lacks_is_named(
    make_tiny_network: Callable[[int], Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_tiny_network(32)
    inner = type(network).forward

    def forward(self: Network, x: Tensor) -> Tensor:
        return torch.digamma(inner(self, x))

    monkeypatch.setattr(type(network), "forward", forward)
    with pytest.raises(ExportError, match=r"tiny for ncnn in fp16.*digamma"):
        NcnnTarget().convert(prepare_source(network, ExportFormat(), "tiny"), "fp16", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_int8_is_refused(source: ExportSource, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="int8: pnnx writes fp32 and fp16 only"):
        NcnnTarget().convert(source, "int8", tmp_path)


@pytest.mark.parametrize("damage", ["weights cut", "weights absent", "graph absent", "swapped", "unknown layer"])
def test_damaged_files_are_refused(
    converted: dict[Precision, ConvertedFiles], source: ExportSource, tmp_path: Path, damage: str
) -> None:
    graph, weights = tmp_path / "m.ncnn.param", tmp_path / "m.ncnn.bin"
    graph.write_bytes(converted["fp32"].files[0].read_bytes())
    weights.write_bytes(converted["fp32"].files[1].read_bytes())
    if damage == "weights cut":
        weights.write_bytes(weights.read_bytes()[:5000])
    if damage == "weights absent":
        weights.unlink()
    if damage == "graph absent":
        graph.unlink()
    if damage == "swapped":
        graph, weights = weights, graph
    if damage == "unknown layer":
        graph.write_text(graph.read_text().replace("PReLU  ", "Unheard"))
    with pytest.raises(ExportError, match=r"m\.ncnn"):
        NcnnTarget().open((graph, weights), source.io_spec)


def test_files_of_another_network_are_refused(converted: dict[Precision, ConvertedFiles], source: ExportSource) -> None:
    with pytest.raises(ExportError, match="gives 8 numbers, not 16"):
        NcnnTarget().open(converted["fp32"].files, IOSpec(112, 16, source.format))


def test_the_output_is_the_blob_that_no_layer_consumes(tmp_path: Path) -> None:
    path = tmp_path / "m.param"
    path.write_text(
        "7767517\n4 5\nInput a 0 1 data\nSplit b 1 2 data left right 0=1\n"
        "BinaryOp c 2 1 right left sum 0=0\nReLU d 1 1 sum prob\n"
    )
    graph = read_param(path)
    assert (graph.input, graph.output, graph.layers) == ("data", "prob", ("Input", "Split", "BinaryOp", "ReLU"))


def test_the_commands_for_a_device_reach_it_in_the_syntax_of_benchncnn(tmp_path: Path) -> None:
    adb = tmp_path / "adb"
    adb.write_text('#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done\necho --\n')
    adb.chmod(0o755)
    script = NcnnTarget.device_command.format(files="out/m.ncnn.param out/m.ncnn.bin", size=112, threads=4)
    printed = subprocess.run(
        ["sh", "-c", script], env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=True,
    ).stdout
    command = (
        "cd /data/local/tmp && chmod +x benchncnn && "
        "./benchncnn 100 4 2 -1 0 'param=m.ncnn.param' 'shape=[112,112,3]'"
    )
    assert printed == f"push\nbenchncnn\nout/m.ncnn.param\n/data/local/tmp/\n--\nshell\n{command}\n--\n"
