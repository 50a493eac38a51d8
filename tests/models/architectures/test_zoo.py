"""Tests of torchvision and timm, which are an extra: without them a fake replaces torchvision, or a test is skipped."""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import facekd.models  # noqa: F401
from facekd.errors import ModelError
from facekd.models.complexity import count_macs, count_parameters
from facekd.models.feature_extractor import FeatureExtractor
from facekd.models.registry import ModelSpec, build, create, list_models

WEIGHTS = {"conv1.weight": torch.full((4, 3, 1, 1), 0.5), "fc.weight": torch.full((1000, 4), 2.0)}
Requests = dict[str, object]


def _resnet(name: str, num_classes: int) -> nn.Module:
    layers: list[tuple[str, nn.Module]] = [("conv1", nn.Conv2d(3, 4, 1, bias=False))]
    layers += [(f"layer{index}", nn.AvgPool2d(2)) for index in (1, 2, 3, 4)]
    layers += [("pool", nn.AdaptiveAvgPool2d(1)), ("flat", nn.Flatten()), ("fc", nn.Linear(4, num_classes, bias=False))]
    return nn.Sequential(OrderedDict(layers))


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    """Replace torchvision by a fake; return the options of the requests for its weights."""
    record: Requests = {}

    def fetch(**options: object) -> dict[str, torch.Tensor]:
        record.update(options)
        return WEIGHTS

    preset = SimpleNamespace(crop_size=[224], resize_size=[232], interpolation=SimpleNamespace(value="bilinear"),
                             mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    best = SimpleNamespace(DEFAULT=SimpleNamespace(get_state_dict=fetch, transforms=lambda: preset))
    models = SimpleNamespace(get_model=_resnet, get_model_weights=lambda name: best)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    return record


@pytest.mark.parametrize("name", ["torchvision/resnet34", "timm/resnet18"])
def test_a_missing_library_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torchvision", "torchvision.models", "timm"):
        monkeypatch.setitem(sys.modules, module, None)
    library = name.partition("/")[0]
    with pytest.raises(ModelError, match=rf"{name} needs {library}, .*pip install 'facekd\[zoo\]'"):
        create(name)


def test_an_unknown_net_of_torchvision_names_the_nearest(requests: Requests) -> None:
    with pytest.raises(ModelError, match="unknown model 'torchvision/resnet35': did you mean 'resnet"):
        create("torchvision/resnet35")


@pytest.mark.parametrize("name", ["keras/resnet50", "timm/", "/resnet18"])
def test_a_name_of_no_library_is_unknown(name: str) -> None:
    with pytest.raises(ModelError, match=f"unknown model '{name}'"):
        create(name)


def test_the_names_of_other_libraries_are_not_listed() -> None:
    assert not [name for name in list_models() if "/" in name]


def test_nothing_is_downloaded_unless_requested(requests: Requests) -> None:
    network = create("torchvision/resnet34", size=64, outputs=7)
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 7) and requests == {}


def test_published_weights_are_checked_and_cannot_run_code(requests: Requests) -> None:
    network = create("torchvision/resnet34", size=64, outputs=1000, normalization="imagenet", pretrained=True)
    assert requests["check_hash"] is True and requests["weights_only"] is True
    assert all(torch.equal(network.get_parameter(f"net.{key}"), value) for key, value in WEIGHTS.items())


def test_another_number_of_classes_keeps_all_but_the_last_layer(requests: Requests) -> None:
    network = create("torchvision/resnet34", size=64, outputs=7, normalization="imagenet", pretrained=True)
    assert torch.equal(network.get_parameter("net.conv1.weight"), WEIGHTS["conv1.weight"])
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 7)


def test_rebuilding_a_model_downloads_nothing(requests: Requests) -> None:
    spec = create("torchvision/resnet34", size=64, outputs=7, normalization="imagenet", pretrained=True).spec
    requests.clear()
    again = build(ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))))
    assert again.spec == spec and requests == {}


def test_published_weights_are_refused_with_pixels_of_another_scaling(requests: Requests) -> None:
    message = "resnet34 take pixels scaled as 'imagenet', not 'unit'; set normalization=imagenet, or pretrained=false"
    with pytest.raises(ModelError, match=message):
        create("torchvision/resnet34", size=224, outputs=1000, pretrained=True)


def test_a_note_says_how_the_images_differ(requests: Requests, capsys: pytest.CaptureFixture[str]) -> None:
    create("torchvision/resnet34", size=64, outputs=7, normalization="imagenet", pretrained=True)
    assert "made for 224 pixels, here 64 and for images of 232 pixels by bilinear" in capsys.readouterr().err


def test_weights_that_cannot_be_downloaded_are_reported_in_one_sentence(
    requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(name: str) -> Callable[[], None]:
        raise OSError("no route to host")

    monkeypatch.setattr(sys.modules["torchvision.models"], "get_model_weights", offline)
    with pytest.raises(ModelError, match=r"resnet34 cannot be created \(no route to host\); published weights"):
        create("torchvision/resnet34", size=64, pretrained=True)


def test_stages_are_inside_the_net(requests: Requests) -> None:
    network = create("torchvision/resnet34", size=64, outputs=7)
    assert network.stages == ("net.layer1", "net.layer2", "net.layer3", "net.layer4")
    assert [m.shape[-1] for m in FeatureExtractor(network)(torch.rand(2, 3, 64, 64)).feature_maps] == [32, 16, 8, 4]


@pytest.mark.parametrize(("name", "millions", "giga"), [  # torchvision's own table of weights
    ("resnet34", 21.798, 3.66), ("resnet50", 25.557, 4.09), ("mobilenet_v2", 3.505, 0.30),
])
def test_torchvision_nets_have_the_published_cost(name: str, millions: float, giga: float) -> None:
    pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        network = create(f"torchvision/{name}", size=224, outputs=1000, normalization="imagenet")
    assert count_parameters(network) / 1e6 == pytest.approx(millions, abs=1e-3)
    assert count_macs(network, 224) / 1e9 == pytest.approx(giga, abs=6e-3)


@pytest.mark.parametrize(("name", "stages"), [
    ("torchvision/resnet18", 4), ("torchvision/mobilenet_v2", 4), ("timm/resnet18.a1_in1k", 5),
    ("timm/mobilenetv2_050", 5), ("timm/vit_tiny_patch16_224", 0),
])
def test_nets_of_the_libraries_give_feature_maps(name: str, stages: int) -> None:
    pytest.importorskip(name.partition("/")[0])
    network = create(name, size=64, outputs=7).eval()
    images = torch.rand(2, 3, 64, 64)
    output = FeatureExtractor(network)(images)
    torch.testing.assert_close(output.outputs, network(images), rtol=0, atol=0)
    sides = [m.shape[-1] for m in output.feature_maps]
    assert output.outputs.shape == (2, 7) and len(sides) == stages and sides == sorted(sides, reverse=True)
    assert all(m.ndim == 4 for m in output.feature_maps)


@pytest.mark.parametrize("name", ["nope", "hf-hub:someone/something", "local-dir:/tmp"])
def test_timm_loads_only_its_own_models(name: str) -> None:
    pytest.importorskip("timm")
    with pytest.raises(ModelError, match=f"unknown model 'timm/{name}'"):
        create(f"timm/{name}")
