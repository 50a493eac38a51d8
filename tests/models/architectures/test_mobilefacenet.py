from __future__ import annotations

import pytest
import torch
from torch import nn

import facekd.models  # noqa: F401
from facekd.errors import ModelError
from facekd.models.complexity import count_parameters
from facekd.models.registry import create


@pytest.mark.parametrize(("options", "count"), [
    ({"outputs": 128}, 1_003_136), ({"outputs": 512}, 1_200_512), ({"outputs": 512, "scale": 2}, 2_059_520),
])
def test_parameters_are_those_of_arcface_torch(options: dict[str, int], count: int) -> None:
    with torch.device("meta"):
        assert count_parameters(create("mobilefacenet", **options)) == count


def test_folded_the_128_dimensional_net_has_the_papers_099_million() -> None:
    with torch.device("meta"):
        model = create("mobilefacenet", outputs=128)
    norms = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    scales = sum(m.num_features for m in norms)  # folding leaves of each scale and shift one bias
    assert count_parameters(model) - scales == 993_344


def test_the_trunk_has_the_papers_maps() -> None:
    # Chen et al. 2018, Table 1: the outputs of the stem, each stage's last bottleneck and the 1 x 1 convolution.
    with torch.device("meta"):
        model = create("mobilefacenet", outputs=128)
        x, shapes = torch.empty(1, 3, 112, 112), []
        x = model.get_submodule("stem")(x)
        shapes.append(tuple(x.shape[1:]))
        for layer in model.get_submodule("trunk").children():
            x = layer(x)
            shapes.append(tuple(x.shape[1:]))
    expected = [(64, 56, 56)] * 2 + [(64, 28, 28)] * 5 + [(128, 14, 14)] * 7 + [(128, 7, 7)] * 3 + [(512, 7, 7)]
    assert shapes == expected


def test_the_head_weights_every_position_of_the_map() -> None:
    torch.manual_seed(0)
    gdc = create("mobilefacenet", size=64, outputs=8, width=0.125).eval().get_submodule("gdc")
    maps, kernel = torch.randn(2, 64, 4, 4), gdc.get_parameter("0.weight")
    expected = (maps * kernel[:, 0]).sum((2, 3)) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(gdc(maps).flatten(1), expected)


def test_a_wide_first_stage_counts_as_arcface_torchs_large_net() -> None:
    with torch.device("meta"):
        large = create("mobilefacenet", scale=4, blocks=(2, 8, 12, 4))
        assert large(torch.empty(2, 3, 112, 112)).shape == (2, 512)
        # Stem, residual stages, stage changes, head; counted by hand from the shapes.
        def bottleneck(inputs: int, inner: int, outputs: int) -> int:
            return inputs * inner + 9 * inner + inner * outputs + 6 * inner + 2 * outputs

        trunk = 27 * 256 + 3 * 256 + 10 * bottleneck(256, 128, 256) + bottleneck(256, 128, 256)
        trunk += bottleneck(256, 256, 512) + 12 * bottleneck(512, 256, 512)
        trunk += bottleneck(512, 512, 512) + 4 * bottleneck(512, 256, 512)
        head = 512 * 512 + 3 * 512 + 49 * 512 + 2 * 512 + 512 * 512 + 2 * 512
    assert count_parameters(large) == trunk + head


def test_width_shrinks_every_layer() -> None:
    with torch.device("meta"):
        half = create("mobilefacenet", outputs=128, width=0.5).state_dict()
        full = create("mobilefacenet", outputs=128).state_dict()
    wrong = [key for key in full if key.startswith("trunk") and full[key].ndim == 4
             and half[key].shape[0] * 2 != full[key].shape[0]]
    assert wrong == []


def test_scale_zero_is_refused() -> None:
    with pytest.raises(ModelError, match="scale and blocks"):
        create("mobilefacenet", scale=0)


def test_relu_replaces_every_prelu_and_nothing_else() -> None:
    with torch.device("meta"):
        slopes, plain = (create("mobilefacenet", outputs=128, activation=name) for name in ("prelu", "relu"))
    kinds = [[type(module) for module in model.modules()] for model in (slopes, plain)]
    assert kinds[1] == [nn.ReLU if kind is nn.PReLU else kind for kind in kinds[0]]
    assert nn.ReLU in kinds[1]


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ModelError, match="'prelu' or 'relu', not 'swish'"):
        create("mobilefacenet", activation="swish")
