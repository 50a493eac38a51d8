from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facekd.heads.curricularface import CurricularFace

OTHERS = torch.tensor([[-0.5, 0.1, 0.3, 0.6]])


def test_the_papers_defaults() -> None:
    margin = CurricularFace()
    assert (margin.m, margin.rate, float(margin.t)) == (0.5, 0.01, 0)


def test_t_runs_from_0_towards_the_mean_of_the_targets_cosines() -> None:
    margin, generator, t = CurricularFace(), np.random.default_rng(0), 0.0
    for _ in range(20):
        cos = generator.uniform(-0.2, 0.9, 8)
        margin.update_statistics(torch.from_numpy(cos).float(), torch.ones(8))
        t = 0.01 * cos.mean() + 0.99 * t
    assert float(margin.t) == pytest.approx(t, rel=1e-5)


@pytest.mark.parametrize("t", [-0.1, 0.0, 0.5, 1.0])
def test_classes_nearer_than_the_target_are_weighted_and_no_others(t: float) -> None:
    margin = CurricularFace()
    margin.t.fill_(t)
    target = margin.target_logit(torch.tensor([0.7]), torch.ones(1))
    assert float(target) == pytest.approx(math.cos(math.acos(0.7) + 0.5), abs=1e-6)  # 0.272
    truth = [[-0.5, 0.1, 0.3 * (t + 0.3), 0.6 * (t + 0.6)]]
    np.testing.assert_allclose(margin.other_logits(OTHERS, target).numpy(), truth, rtol=0, atol=1e-6)


def test_the_gradient_takes_t_and_the_choice_for_constants() -> None:
    margin = CurricularFace()
    margin.t.fill_(0.4)
    cos = OTHERS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(margin.other_logits(cos, torch.tensor([0.2])).sum(), cos)
    np.testing.assert_allclose(gradient.numpy(), [[1, 1, 0.4 + 2 * 0.3, 0.4 + 2 * 0.6]], atol=1e-6)
