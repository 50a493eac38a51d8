from __future__ import annotations

import pytest
import torch

import facekd.models  # noqa: F401
from facekd.models.registry import create

BN = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def arcface_torch_keys(depths: tuple[int, ...]) -> list[str]:
    """The keys of an arcface_torch backbone's state dict, in its order."""
    keys = ["conv1.weight", *(f"bn1.{k}" for k in BN), "prelu.weight"]
    for stage, depth in enumerate(depths, 1):
        for index in range(depth):
            block = f"layer{stage}.{index}"
            keys += [*(f"{block}.bn1.{k}" for k in BN), f"{block}.conv1.weight", *(f"{block}.bn2.{k}" for k in BN)]
            keys += [f"{block}.prelu.weight", f"{block}.conv2.weight", *(f"{block}.bn3.{k}" for k in BN)]
            if index == 0:
                keys += [f"{block}.downsample.0.weight", *(f"{block}.downsample.1.{k}" for k in BN)]
    return [*keys, *(f"bn2.{k}" for k in BN), "fc.weight", "fc.bias", *(f"features.{k}" for k in BN)]


@pytest.mark.parametrize(("name", "depths"), [
    ("iresnet18", (2, 2, 2, 2)), ("iresnet34", (3, 4, 6, 3)),
    ("iresnet50", (3, 4, 14, 3)), ("iresnet100", (3, 13, 30, 3)),
])
def test_state_dict_has_the_names_of_arcface_torch_in_order(name: str, depths: tuple[int, ...]) -> None:
    with torch.device("meta"):
        assert list(create(name).state_dict()) == arcface_torch_keys(depths)


@pytest.mark.parametrize(("key", "shape"), [
    ("conv1.weight", (64, 3, 3, 3)), ("prelu.weight", (64,)),
    ("layer1.0.downsample.0.weight", (64, 64, 1, 1)), ("layer2.0.bn1.weight", (64,)),
    ("layer2.0.conv1.weight", (128, 64, 3, 3)), ("layer2.0.conv2.weight", (128, 128, 3, 3)),
    ("layer4.1.prelu.weight", (512,)), ("bn2.weight", (512,)), ("fc.weight", (512, 512 * 49)), ("fc.bias", (512,)),
])
def test_tensors_have_the_shapes_of_arcface_torch(key: str, shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        assert create("iresnet18").state_dict()[key].shape == shape


def test_a_block_is_the_published_formula() -> None:
    torch.manual_seed(0)
    model = create("iresnet18", size=32, outputs=8, width=0.125).double().eval()
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    block = model.get_submodule("layer2.0")
    state = {k: v for k, v in block.state_dict().items() if v.is_floating_point()}
    x = torch.randn(2, 8, 16, 16, dtype=torch.float64)

    def norm(key: str, value: torch.Tensor) -> torch.Tensor:
        weight, bias, mean, var = (state[f"{key}.{k}"].view(-1, 1, 1) for k in BN[:4])
        out: torch.Tensor = (value - mean) / (var + 1e-5).sqrt() * weight + bias
        return out

    def conv(key: str, value: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
        kernel = state[f"{key}.weight"]
        columns = torch.nn.functional.unfold(value, kernel.shape[-1], padding=padding, stride=stride)
        side = value.shape[-1] // stride
        return torch.einsum("ok,nkp->nop", kernel.flatten(1), columns).view(len(value), -1, side, side)

    y = norm("bn2", conv("conv1", norm("bn1", x), 1, 1))
    y = torch.where(y > 0, y, y * state["prelu.weight"].view(-1, 1, 1))
    expected = norm("bn3", conv("conv2", y, 2, 1)) + norm("downsample.1", conv("downsample.0", x, 2, 0))
    torch.testing.assert_close(block(x), expected)


def test_the_last_scale_is_one_and_fixed() -> None:
    features = create("iresnet10", size=32, outputs=8, width=0.125).get_submodule("features")
    weight = features.get_parameter("weight")
    assert not weight.requires_grad and bool((weight == 1).all())


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    model = create("iresnet10", size=32, outputs=8, width=0.125, dropout=0.5)
    images = torch.randn(4, 3, 32, 32)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


def test_layers_replace_the_depths() -> None:
    with torch.device("meta"):
        short, known = create("iresnet100", layers=(2, 2, 2, 2)), create("iresnet18")
    assert list(short.state_dict()) == list(known.state_dict())
