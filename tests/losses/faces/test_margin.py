from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.faces.margin import check_scale_and_margin, margin_cross_entropy


def truth(
    embeddings: Tensor, centers: Tensor, labels: Tensor, margins: list[float], scale: float, angular: bool
) -> float:
    """With angles instead of their sines and cosines, one image and one class after another."""
    total = 0.0
    for image, label in enumerate(labels.tolist()):
        logits = []
        for c, center in enumerate(centers.double().numpy()):
            e = embeddings[image].double().numpy()
            theta = math.acos(float(np.clip(e @ center / np.linalg.norm(e) / np.linalg.norm(center), -1, 1)))
            m = margins[image] if c == label else 0.0
            if not angular:
                logits.append(math.cos(theta) - m)
            elif theta + m <= math.pi:
                logits.append(math.cos(theta + m))
            else:
                logits.append(math.cos(theta) + math.cos(m) - 1)
        scaled = scale * np.array(logits)
        total += float(np.logaddexp.reduce(scaled) - scaled[label])
    return total / len(labels)


def batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    embeddings = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    centers = 3 * torch.randn(4, 5, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 3, 1, 1, 2, 0])
    embeddings[0] = -2 * centers[0] + 0.1 * embeddings[0]  # beyond pi with any margin
    return embeddings.to(dtype), centers.to(dtype), labels


@pytest.mark.parametrize("angular", [True, False])
def test_it_is_the_margin_softmax(angular: bool) -> None:
    exact = truth(*batch(), [0.45] * 6, 16.0, angular)
    assert float(margin_cross_entropy(*batch(), 0.45, scale=16.0, angular=angular)) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("angular", [True, False])
def test_each_image_may_have_its_own_margin(angular: bool) -> None:
    margins = [0.0, 0.1, 0.2, 0.9, 1.5, 0.3]
    exact = truth(*batch(), margins, 16.0, angular)
    loss = margin_cross_entropy(*batch(torch.float32), torch.tensor(margins, dtype=torch.float64), scale=16.0,
                                angular=angular)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("margin", [0.45, torch.tensor([0.0, 0.1, 0.2, 0.9, 1.5, 0.3], dtype=torch.float64)])
def test_the_gradient_is_that_of_differences(margin: float | Tensor) -> None:
    embeddings, centers, labels = batch()
    assert torch.autograd.gradcheck(lambda e, w: margin_cross_entropy(e, w, labels, margin, scale=4.0),
                                    (embeddings.requires_grad_(), centers.requires_grad_()))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("margin", [0.0, 0.5, torch.full((4,), math.pi / 2)])
def test_it_is_finite_where_an_embedding_is_on_its_center_or_opposite(sign: float, margin: float | Tensor) -> None:
    centers = torch.eye(4)
    embeddings = (sign * centers).requires_grad_()
    loss = margin_cross_entropy(embeddings, centers, torch.arange(4), margin)
    (gradient,) = torch.autograd.grad(loss, embeddings)
    assert bool(loss.isfinite()) and bool(gradient.isfinite().all())


def test_autocast_does_not_round_the_cosines() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        inside = margin_cross_entropy(*batch(torch.float32), 0.45)
    assert torch.equal(inside, margin_cross_entropy(*batch(torch.float32), 0.45))


@pytest.mark.parametrize(("scale", "margin"), [(0.0, 0.5), (64.0, math.pi / 2)])
def test_a_scale_or_margin_that_cannot_be_used_is_refused(scale: float, margin: float) -> None:
    with pytest.raises(ModelError, match="loss this: scale must be above 0 and margin below pi/2"):
        check_scale_and_margin("this", scale, margin)
