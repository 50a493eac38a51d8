from __future__ import annotations

import json

import pytest
import torch

from facekd.errors import ModelError
from facekd.models.architectures.resnet_cifar import ResNet
from facekd.models.architectures.resnet_pruned import EXAMPLE_PLAN, Layout, resnet_pruned
from facekd.models.complexity import count_macs, count_parameters
from facekd.models.registry import ModelSpec, build, create

PLANS = [
    "16/16:16,16,16/32:32,32,32/64:64,64,64", EXAMPLE_PLAN, "8/8:8/8:8/8:8", "16/16:-,-/32:8/64:9",
    "40/40:8,9/40:8/40:8", "32/64:20,-,8/128:128,100,11/250:8,-,-",
]


def resnet(name: str) -> ResNet:
    with torch.device("meta"):
        network = create(name, size=32, outputs=10)
    assert isinstance(network, ResNet)
    return network


@pytest.mark.parametrize("plan", PLANS)
def test_a_parsed_plan_is_written_unchanged(plan: str) -> None:
    assert str(Layout.parse(plan)) == plan


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("size", [32, 64])
def test_its_cost_is_that_of_the_network(plan: str, size: int) -> None:
    with torch.device("meta"):
        network = create("resnet_pruned", size=size, outputs=10, plan=plan)
    layout = Layout.parse(plan)
    assert layout.count_parameters(10) == count_parameters(network)
    assert layout.count_macs(size, 10) == count_macs(network, size)


@pytest.mark.parametrize("name", ["resnet8", "resnet20", "resnet56", "resnet32x4"])
def test_with_all_channels_of_a_resnet_it_is_that_resnet(name: str) -> None:
    original = resnet(name)
    with torch.device("meta"):
        pruned = create("resnet_pruned", size=32, outputs=10, plan=str(Layout.from_network(original)))
    shapes, expected = ({k: v.shape for k, v in net.state_dict().items()} for net in (pruned, original))
    assert shapes == expected


def test_the_default_is_resnet20() -> None:
    default = resnet_pruned.__kwdefaults__
    assert default == {"plan": str(Layout.from_network(resnet("resnet20")))}


def test_a_dropped_block_is_absent() -> None:
    with torch.device("meta"):
        network = create("resnet_pruned", size=32, outputs=10, plan="16/16:-,-/32:8,-/64:9,10")
    assert isinstance(network, ResNet)
    assert [len(network.get_submodule(stage)) for stage in network.stages] == [0, 1, 2]  # type: ignore[arg-type]
    assert Layout.from_network(network) == Layout(16, (16, 32, 64), ((), (8,), (9, 10)))


def test_channel_counts_rebuild_the_layout() -> None:
    layout = Layout.parse(EXAMPLE_PLAN)
    assert layout.channel_counts == [16, 16, 32, 64, 16, 0, 8, 32, 20, 24, 48, 64, 0]
    assert layout.with_channel_counts(layout.channel_counts) == layout


def test_its_spec_is_json() -> None:
    with torch.device("meta"):
        spec = create("resnet_pruned", size=32, outputs=10, plan=EXAMPLE_PLAN).spec
        again = build(ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))))
    assert again.spec == spec and spec.options == {"plan": EXAMPLE_PLAN}


@pytest.mark.parametrize(("plan", "text"), [
    ("", "needs a stem and three stages, as in 16/16"), ("16/16:16/32:32", "needs a stem and three stages"),
    ("16/16:16/32:32/64", "needs a stem and three stages"), ("16/16:16/32:32/64:", "'' is no number of channels"),
    ("16/16:16/32:7/64:64", "'7' is no number of channels"), ("x/16:16/32:32/64:64", "'x' is no number"),
    ("16/16:16/-:32/64:64", "'-' is no number"), ("16/16:16/32:32/64:9999", "'9999' is no number"),
    ("16/16:16/32:-,32/64:64", "drops the first block of stage 2, which changes the shape"),
    ("32/64:-,64/128:8/256:8", "drops the first block of stage 1"),
])
def test_an_invalid_plan_is_refused_with_a_reason(plan: str, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        create("resnet_pruned", size=32, outputs=10, plan=plan)
