from __future__ import annotations

import pytest
import torch
from torch import nn

import facekd.models  # noqa: F401
from facekd.errors import ModelError
from facekd.models.complexity import count_parameters
from facekd.models.registry import create


@pytest.mark.parametrize(("width", "count"), [
    (0.35, 514_908), (0.5, 812_836), (0.75, 1_475_692), (1.0, 2_353_060), (1.4, 4_470_904),
])
def test_parameters_with_100_classes(width: float, count: int) -> None:
    with torch.device("meta"):
        assert count_parameters(create("mobilenetv2", size=32, outputs=100, width=width)) == count


@pytest.mark.parametrize(("head", "last_conv", "embedding", "millions"), [
    ("gap", True, 128, 0.849), ("gap", True, 256, 1.013), ("gap", True, 512, 1.341),
    ("gdc", False, 128, 0.506), ("gdc", False, 256, 0.527), ("gdc", False, 512, 0.568),
    ("gdc", True, 128, 0.914), ("gdc", True, 256, 1.078), ("gdc", True, 512, 1.406),
])
def test_parameters_of_the_face_variants(head: str, last_conv: bool, embedding: int, millions: float) -> None:
    with torch.device("meta"):
        model = create("mobilenetv2", outputs=embedding, width=0.5, head=head, last_conv=last_conv)
    assert count_parameters(model) / 1e6 == pytest.approx(millions, abs=5e-4)


def test_the_stages_follow_the_table() -> None:
    # Channels int(c * 0.5) of 32 16 24 32 64 96 160 320 1280 (the last not narrowed); sides after each block at 112 px.
    with torch.device("meta"):
        model = create("mobilenetv2", width=0.5)
        x, shapes = torch.empty(1, 3, 112, 112), []
        for layer in model.get_submodule("trunk").children():
            x = layer(x)
            shapes.append(tuple(x.shape[1:3]))
    expected = [(16, 56), (8, 56)] + [(12, 56)] * 2 + [(16, 28)] * 3 + [(32, 14)] * 4 + [(48, 14)] * 3
    expected += [(80, 7)] * 3 + [(160, 7), (1280, 7)]
    assert shapes == expected


def test_the_activation_is_relu_without_a_ceiling() -> None:
    with torch.device("meta"):
        kinds = {type(m) for m in create("mobilenetv2").modules() if "ReLU" in type(m).__name__}
    assert kinds == {nn.ReLU}


def test_ten_blocks_are_residual() -> None:
    # Blocks of stride 1 between equal channels: 1 + 2 + 3 + 2 + 2.
    with torch.device("meta"):
        kinds = [type(m).__name__ for m in create("mobilenetv2").modules()]
    assert kinds.count("Residual") == 10


def test_the_expansion_widens_the_blocks() -> None:
    with torch.device("meta"):
        thin, thick = (create("mobilenetv2", expansion=t).get_parameter("trunk.2.0.0.weight") for t in (1, 6))
    assert (thin.shape[0], thick.shape[0]) == (8, 48)


def test_an_unknown_head_is_refused() -> None:
    with pytest.raises(ModelError, match="head must be 'gap' or 'gdc', not 'avg'"):
        create("mobilenetv2", head="avg")


def test_norm_centers_the_embeddings_and_adds_its_own_parameters_only() -> None:
    crops = torch.rand(32, 3, 48, 48)
    plain, normed = (create("mobilenetv2", size=48, outputs=128, norm=norm) for norm in (False, True))
    assert normed(crops).mean(0).abs().max() < 1e-5
    assert count_parameters(normed) - count_parameters(plain) == 2 * 128
