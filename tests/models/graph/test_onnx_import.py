from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from facekd.deploy.source import ExportFormat, prepare_source
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.errors import ModelError
from facekd.models.complexity import count_macs
from facekd.models.graph import onnx_import
from facekd.models.graph.onnx_import import network_from_onnx
from facekd.models.registry import Network
from facekd.models.weights import load_model, save_model
from tests.models.graph.exports import SIZE, ScalesInside, random_network, write_onnx

EXPORTS: list[tuple[str, dict[str, Any], bool]] = [
    ("mobilefacenet", {"width": 0.25}, True), ("mobilefacenet", {"width": 0.25}, False),
    ("iresnet18", {"width": 0.25}, True), ("iresnet18", {"width": 0.25}, False),
    ("mobilenetv2", {}, False), ("mobilenetv2", {"head": "gdc", "norm": True}, False),
]
"""Networks with their options, and whether the exporter of torch.export writes them, or the older one."""


def outputs(network: Network) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (3, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)
    with torch.no_grad():
        return network(network.preprocess(images))


@pytest.mark.parametrize(("name", "options", "dynamo"), EXPORTS)
def test_an_exported_network_comes_back_with_equal_outputs(
    tmp_path: Path, name: str, options: dict[str, Any], dynamo: bool
) -> None:
    network = random_network(name, **options)
    converted = network_from_onnx(write_onnx(network, tmp_path / "m.onnx", dynamo=dynamo))
    expected = outputs(network)
    torch.testing.assert_close(outputs(converted), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert count_macs(converted, SIZE) == count_macs(network, SIZE)


@pytest.mark.parametrize(("mean", "std"), [(127.5, 127.5), (127.5, 128.0)])
def test_a_scaling_inside_is_in_the_weights(tmp_path: Path, mean: float, std: float) -> None:
    network = random_network("mobilefacenet", width=0.25)
    converted = network_from_onnx(write_onnx(ScalesInside(network, mean, std), tmp_path / "m.onnx",
                                             dynamo=False))
    images = torch.randint(0, 256, (2, SIZE, SIZE, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected = network((images.permute(0, 3, 1, 2).float() - mean) / std)
        torch.testing.assert_close(converted(converted.preprocess(images)), expected, rtol=1e-4, atol=1e-5)
    assert "affine" not in converted.spec.options["nodes"]


def test_a_summand_of_the_scaling_remains_a_layer(tmp_path: Path) -> None:
    network = random_network("mobilefacenet", width=0.25)
    converted = network_from_onnx(write_onnx(ScalesInside(network, 100.0, 50.0), tmp_path / "m.onnx",
                                             dynamo=False))
    images = torch.randint(0, 256, (2, SIZE, SIZE, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected = network((images.permute(0, 3, 1, 2).float() - 100) / 50)
        torch.testing.assert_close(converted(converted.preprocess(images)), expected, rtol=1e-4, atol=1e-5)


def test_files_of_our_own_export_are_converted_too(tmp_path: Path) -> None:
    network = random_network("mobilefacenet", width=0.25)
    source = prepare_source(network, ExportFormat("uint8"), "m")
    (file,) = OnnxTarget().convert(source, "fp32", tmp_path).files
    torch.testing.assert_close(outputs(network_from_onnx(file)), outputs(network), rtol=1e-4, atol=1e-5)


def test_a_converted_network_is_saved_and_loaded_like_any_other(tmp_path: Path) -> None:
    converted = network_from_onnx(write_onnx(random_network("mobilefacenet", width=0.25), tmp_path / "m.onnx",
                                             dynamo=False))
    save_model(converted, tmp_path / "m.safetensors")
    assert torch.equal(outputs(load_model(tmp_path / "m.safetensors")), outputs(converted))


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    module = torch.nn.Sequential(random_network("mobilefacenet", width=0.25), torch.nn.Softplus())
    with pytest.raises(ModelError, match=r"m\.onnx holds the operator Softplus \(node .*\), which cannot become"):
        network_from_onnx(write_onnx(module, tmp_path / "m.onnx", dynamo=False))


def test_a_network_that_differs_from_its_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_onnx(random_network("mobilefacenet", width=0.25), tmp_path / "m.onnx", dynamo=False)
    monkeypatch.setattr(onnx_import, "TOLERANCE", 0.0)
    with pytest.raises(ModelError, match="the converted network differs from the file by"):
        network_from_onnx(file)


def test_other_pixels_than_the_stated_ones_give_other_outputs(tmp_path: Path) -> None:
    """``pixels`` decides for a graph without a scaling, whose first layer could take either."""
    network = random_network("mobilefacenet", width=0.25)
    file = write_onnx(network, tmp_path / "m.onnx", dynamo=False)
    images = torch.randint(0, 256, (2, SIZE, SIZE, 3), dtype=torch.uint8)
    converted = network_from_onnx(file, pixels="raw")
    with torch.no_grad():
        expected = network(images.permute(0, 3, 1, 2).float())
        torch.testing.assert_close(converted(converted.preprocess(images)), expected, rtol=1e-4, atol=1e-3)


def test_the_public_teacher_becomes_a_network(shared: Path) -> None:
    file = shared / "faces" / "teacher" / "mobilefacenet_128d.onnx"
    if not file.is_file():
        pytest.skip(f"the public teacher is absent ({file})")
    converted = network_from_onnx(file)
    assert (converted.spec.size, converted.spec.outputs, count_macs(converted, 112)) == (112, 128, 220_965_376)
