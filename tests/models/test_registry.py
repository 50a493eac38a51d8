from __future__ import annotations

import json
from typing import Any

import pytest
import torch

import facekd.models  # noqa: F401  (the architectures register themselves)
from facekd.errors import ModelError
from facekd.models.registry import ModelSpec, build, create, list_models

NARROW: dict[str, dict[str, Any]] = {
    name: {} if name.startswith(("shufflenet", "wrn", "resnet_pruned", "graph"))
    else {"width": 0.5 if name.startswith("resnet") else 0.25}
    for name in list_models()
}
FAMILIES = [
    "graph", "iresnet10", "lenet", "mlp", "mobilefacenet", "mobilenetv2", "resnet8", "resnet50_cifar", "resnet_pruned",
    "shufflenetv1", "shufflenetv2", "vgg8", "wrn_16_2",
]
"""The smallest network of each family, for tests that hold for deeper ones as well."""


def test_the_registry_holds_the_documented_names() -> None:
    documented = {"iresnet10", "iresnet18", "iresnet34", "iresnet50", "iresnet100", "mobilefacenet", "mobilenetv2"}
    documented |= {"resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"}
    documented |= {"resnet8x4", "resnet32x4", "resnet50_cifar", "resnet_pruned", "wrn_16_2", "wrn_40_1", "wrn_40_2"}
    documented |= {"vgg8", "vgg11", "vgg13", "vgg16", "vgg19", "shufflenetv1", "shufflenetv2", "lenet", "mlp", "graph"}
    assert set(list_models()) == documented


@pytest.mark.parametrize(("size", "embedding"), [(32, 2), (64, 1), (80, 100), (96, 128), (112, 512), (128, 7)])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_size_and_embedding_length_gives_the_right_shape(name: str, size: int, embedding: int) -> None:
    with torch.device("meta"):
        model = create(name, size=size, outputs=embedding)
        assert model(torch.empty(2, 3, size, size)).shape == (2, embedding)


@pytest.mark.parametrize("name", list_models())
def test_backward_reaches_every_trainable_weight(name: str) -> None:
    torch.manual_seed(0)
    model = create(name, size=64, outputs=16, **NARROW[name])
    output = model(torch.randn(4, 3, 64, 64))
    (output * torch.randn_like(output)).sum().backward()
    without_gradient = [
        key for key, p in model.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.isfinite().all() or not p.grad.any())
    ]
    assert output.dtype == torch.float32 and output.isfinite().all()
    assert without_gradient == []


@pytest.mark.parametrize("name", list_models())
def test_channels_last_gives_the_same_embeddings(name: str) -> None:
    torch.manual_seed(0)
    model = create(name, size=64, outputs=16, **NARROW[name]).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        plain = model(images)
        for weight in model.parameters():
            if weight.ndim == 4:
                weight.data = weight.contiguous(memory_format=torch.channels_last)
        last = model(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_is_one_graph_for_the_exporter(name: str) -> None:
    model = create(name, size=32, outputs=16, **NARROW[name]).eval()
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(model, (torch.randn(2, 3, 32, 32),), dynamic_shapes=(batch,))
    images = torch.randn(5, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(images), model(images))


@pytest.mark.parametrize("name", list_models())
def test_a_spec_is_preserved_by_json_and_rebuilds_the_model(name: str) -> None:
    with torch.device("meta"):
        model = create(name, size=64, outputs=32, **NARROW[name])
        spec = ModelSpec.from_dict(json.loads(json.dumps(model.spec.to_dict())))
        again = build(spec)
    assert spec == model.spec == again.spec
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}


def test_a_spec_holds_the_defaults_too() -> None:
    with torch.device("meta"):
        spec = create("mobilenetv2").spec
    assert spec.options == {"expansion": 6, "width": 0.5, "head": "gap", "last_conv": True, "norm": False}


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(ModelError, match="unknown model 'mobilfacenet': did you mean 'mobilefacenet'"):
        create("mobilfacenet")


def test_an_unknown_option_names_the_valid_ones() -> None:
    options = "expansion, head, last_conv, norm, width"
    with pytest.raises(ModelError, match=f"unknown option 'widht'; its options are: {options}"):
        create("mobilenetv2", widht=0.5)


@pytest.mark.parametrize(("options", "text"), [
    ({"size": 100}, "size must be a multiple of 16"),
    ({"size": 0}, "size must be a multiple of 16"),
    ({"outputs": 0}, "outputs must be a whole number"),
    ({"normalization": "cifar"}, "unknown normalization 'cifar'"),
    ({"width": "half"}, "'width' must be like 1.0, not 'half'"),
    ({"width": float("nan")}, "'width' must be a finite number"),
    ({"width": 0}, "leaves no channel"),
    ({"layers": [2, 2]}, "'layers' must be 4 values"),
    ({"layers": [2, 2, 0, 2]}, "layers must be at least 1"),
    ({"dropout": 1}, "dropout below 1"),
])
def test_an_invalid_value_is_refused_with_a_reason(options: dict[str, object], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        create("iresnet18", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("record", [
    {"name": "iresnet18", "size": 112}, {"name": "iresnet18", "size": 112, "outputs": 8, "depth": 3},
    {"name": ["iresnet18"], "size": 112, "outputs": 8}, {"name": "iresnet18", "size": "112", "outputs": 8},
    {"name": "iresnet18", "size": 112, "outputs": 8, "options": {"groups": 2}},
])
def test_a_damaged_description_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        ModelSpec.from_dict(record)


def test_options_and_normalization_of_a_description_have_defaults() -> None:
    spec = ModelSpec.from_dict({"name": "iresnet18", "size": 112, "outputs": 8})
    assert spec == create("iresnet18", outputs=8).spec and spec.normalization == "unit"


def test_an_unknown_key_of_a_description_is_named() -> None:
    with pytest.raises(ModelError, match="missing or unknown keys: outputs, dimension"):
        ModelSpec.from_dict({"name": "iresnet18", "size": 112, "dimension": 8})
