from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import facekd.models  # noqa: F401
from facekd.errors import ModelError
from facekd.models.complexity import count_macs, count_parameters
from facekd.models.registry import create


@pytest.mark.parametrize(("name", "count", "multiply_adds"), [
    # RepDistiller's own nets with 100 classes, counted.
    ("resnet8", 83_892, 12_507_392), ("resnet14", 181_108, 26_663_168), ("resnet110", 1_736_564, 253_155_584),
    ("resnet8x4", 1_233_540, 177_071_104), ("resnet32x4", 7_433_860, 1_083_040_768),
    ("resnet20", 278_324, 40_818_944), ("resnet32", 472_756, 69_130_496), ("resnet44", 667_188, 97_442_048),
    ("resnet56", 861_620, 125_753_600),
])
def test_costs_are_those_of_the_crd_benchmark(name: str, count: int, multiply_adds: int) -> None:
    with torch.device("meta"):
        network = create(name, size=32, outputs=100)
        assert (count_parameters(network), count_macs(network, 32)) == (count, multiply_adds)


@pytest.mark.parametrize(("name", "millions", "mega"), [
    ("resnet20", 0.28, 40.82), ("resnet32", 0.47, 69.13), ("resnet44", 0.67, 97.44), ("resnet56", 0.86, 125.75),
])
def test_costs_are_those_pytorch_cifar_models_publishes(name: str, millions: float, mega: float) -> None:
    with torch.device("meta"):
        network = create(name, size=32, outputs=100)
    assert count_parameters(network) / 1e6 == pytest.approx(millions, abs=5e-3)
    assert count_macs(network, 32) / 1e6 == pytest.approx(mega, abs=5e-3)


def test_without_the_shortcuts_parameters_are_the_papers() -> None:
    # He et al. 2016, table 6: resnet20 has 0.27 M and resnet110 1.7 M with 10 classes and shortcuts without weights.
    shortcuts = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    with torch.device("meta"):
        counts = [count_parameters(create(name, size=32, outputs=10)) for name in ("resnet20", "resnet110")]
    small, large = (count - shortcuts for count in counts)
    assert (round(small / 1e6, 2), round(large / 1e6, 1)) == (0.27, 1.7)


def test_depth_counts_the_layers_with_weights() -> None:
    for name in ("resnet8", "resnet20", "resnet110", "resnet32x4"):
        with torch.device("meta"):
            network = create(name, size=32, outputs=10)
        layers = [key for key, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        assert len([key for key in layers if "downsample" not in key]) == int(name[6:].removesuffix("x4"))


def test_a_block_is_the_papers_formula() -> None:
    torch.manual_seed(0)
    block = create("resnet8", size=32, outputs=10).eval().get_submodule("layer2.0").double()
    for value in block.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 1.0)
    w, x = block.state_dict(), torch.randn(2, 16, 8, 8, dtype=torch.float64)

    def normed(maps: torch.Tensor, bn: str) -> torch.Tensor:
        mean, variance, scale, shift = (
            w[f"{bn}.{key}"].view(-1, 1, 1) for key in ("running_mean", "running_var", "weight", "bias")
        )
        out: torch.Tensor = (maps - mean) / (variance + 1e-5).sqrt() * scale + shift
        return out

    inner = normed(F.conv2d(x, w["conv1.weight"], stride=2, padding=1), "bn1").clamp(min=0)
    body = normed(F.conv2d(inner, w["conv2.weight"], padding=1), "bn2")
    shortcut = normed(F.conv2d(x, w["downsample.0.weight"], stride=2), "downsample.1")
    torch.testing.assert_close(block(x), (body + shortcut).clamp(min=0))


@pytest.mark.parametrize(("size", "sides"), [(32, (32, 16, 8)), (64, (64, 32, 16))])
def test_two_stages_halve_the_side(size: int, sides: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = create("resnet8x4", size=size, outputs=10)
        x, shapes = torch.empty(2, 32, size, size), []
        for stage in network.stages:
            x = network.get_submodule(stage)(x)
            shapes.append(tuple(x.shape[1:3]))
    assert shapes == list(zip((64, 128, 256), sides, strict=True))


def test_a_width_on_which_torch_would_crash_is_refused() -> None:
    with pytest.raises(ModelError, match="leaves 4 channels in the first stage; at least 8"):
        create("resnet8", size=32, outputs=10, width=0.25)
