from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facekd.errors import ModelError
from facekd.losses.maps.factors import AutoEncoder, FactorCoder, FactorLoss, factor_distance
from facekd.losses.maps.norm import SafeBatchNorm2d
from facekd.types import BatchContext, DatasetSize, ModelOutput

Array = NDArray[np.float64]


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.1 * x)


def convolve(x: Array, kernel: Array) -> Array:
    n, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((n, len(kernel), height, width))
    for row in range(height):
        for column in range(width):
            out[:, :, row, column] = np.einsum("ncij,ocij->no", padded[:, :, row:row + 3, column:column + 3], kernel)
    return out


def normalize_channels(x: Array) -> Array:
    return np.asarray((x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5))


def encode(coder: nn.Module, x: Array) -> Array:
    """Return the output of a new coder in training mode: its batch norms still scale by 1 and shift by 0."""
    x = leaky(x)
    for value in coder.parameters():
        if value.dim() == 4:
            x = leaky(normalize_channels(convolve(x, value.detach().numpy())))
    return x


def test_a_coder_is_three_convolutions_with_norms_and_leaky_relus() -> None:
    coder, x = FactorCoder(4, 2, torch.float64), maps(3, 4, 5, 3)
    np.testing.assert_allclose(coder(x).detach().numpy(), encode(coder, x.numpy()), rtol=1e-9, atol=1e-9)


def test_a_coder_and_its_mirror_have_these_channels_and_no_bias_but_the_norms() -> None:
    auto = AutoEncoder(maps(2, 8, 3, 3), 0.5, "ft")
    assert [tuple(p.shape[:2]) for p in auto.encoder.parameters() if p.dim() == 4] == [(8, 8), (4, 8), (4, 4)]
    assert [tuple(p.shape[:2]) for p in auto.decoder.parameters() if p.dim() == 4] == [(4, 4), (8, 4), (8, 8)]
    assert [m.bias for m in auto.modules() if isinstance(m, nn.Conv2d)] == [None] * 6


def test_the_pretraining_loss_is_the_mean_absolute_reconstruction_error() -> None:
    x = maps(3, 4, 2, 2)
    auto = AutoEncoder(x, 0.5, "ft")
    reconstruction = encode(auto.decoder, encode(auto.encoder, x.numpy()))
    assert float(auto.pretrain_loss(x).detach()) == pytest.approx(np.abs(reconstruction - x.numpy()).mean(), rel=1e-9)


def test_the_reconstructed_map_receives_no_gradient() -> None:
    x = maps(3, 4, 2, 2).requires_grad_()
    torch.autograd.backward(AutoEncoder(x, 0.5, "ft").pretrain_loss(x))
    assert x.grad is None


class Bare(FactorLoss):
    """A loss with the pretraining of `FactorLoss` only."""

    name = "bare"

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        return self.factor(teacher).sum()


def test_pretraining_learns_to_reconstruct_maps_that_have_few_factors() -> None:
    torch.manual_seed(0)
    low = torch.einsum("nkhw,kc->nchw", maps(16, 2, 4, 4), maps(2, 8, seed=1)).float()
    teacher, context = ModelOutput(low[:, 0, 0], (low,)), BatchContext(torch.zeros(16).long(), torch.arange(16))
    loss = Bare(teacher, teacher, DatasetSize(16, 2), 0.5, 1.0)
    modules = loss.teacher_modules.train().requires_grad_(True)
    optimizer = torch.optim.SGD(modules.parameters(), 0.1, momentum=0.9)
    errors = []
    for _ in range(30):
        error = loss.pretrain_loss(teacher, context)
        optimizer.zero_grad()
        torch.autograd.backward(error)
        nn.utils.clip_grad_norm_(modules.parameters(), 5.0)
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.7 * errors[0]


@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_the_distance_is_that_of_the_formula_and_of_no_scale(scale: float) -> None:
    a, b = maps(3, 2, 4, 4), maps(3, 2, 4, 4, seed=1)
    total = 0.0
    for one, other in zip(a.numpy(), b.numpy(), strict=True):
        total += float(np.abs(one / np.sqrt((one**2).sum()) - other / np.sqrt((other**2).sum())).sum())
    assert float(factor_distance(scale * a, b)) == pytest.approx(total / a.numel(), rel=1e-12)


def test_the_distance_of_equal_factors_is_nothing() -> None:
    assert float(factor_distance(maps(3, 2, 4, 4), 3 * maps(3, 2, 4, 4))) == pytest.approx(0, abs=1e-15)


def test_one_value_a_channel_is_normalized_by_the_running_statistics() -> None:
    assert torch.isfinite(FactorCoder(3, 2, torch.float64)(maps(1, 3, 1, 1))).all()
    norm = SafeBatchNorm2d(3, dtype=torch.float64)
    torch.testing.assert_close(norm(maps(1, 3, 1, 1)), maps(1, 3, 1, 1) / (1 + 1e-5) ** 0.5)


@pytest.mark.parametrize("rate", [0.0, 1.1])
def test_a_rate_that_cannot_be_is_refused(rate: float) -> None:
    with pytest.raises(ModelError, match=f"loss ft: rate must be above 0 and at most 1, not {rate}"):
        AutoEncoder(maps(2, 4, 2, 2), rate, "ft")


def test_a_factor_has_at_least_one_channel() -> None:
    assert AutoEncoder(maps(2, 4, 2, 2), 0.1, "ft").channels == 1


def test_a_map_of_other_channels_is_refused() -> None:
    with pytest.raises(ModelError, match="a feature map has 5 channels and the loss was created for 4: create a new"):
        FactorCoder(4, 2, torch.float64)(maps(2, 5, 2, 2))
