"""Every head trains a small network on real digits, and resumes from a state exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from torch import Tensor, nn

from facekd.heads import HEADS, create_head
from facekd.heads.margin_head import MarginHead, class_cosines

CASES = [(name, sub_centers) for name in sorted(HEADS) for sub_centers in (1, 3)]


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    result = load_digits()
    return torch.from_numpy(result.data[:256].astype(np.float32) / 16), torch.from_numpy(result.target[:256])


class Learner(nn.Module):
    """A small network with a head."""

    def __init__(self, name: str, sub_centers: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 128), nn.BatchNorm1d(128))
        head = create_head(name, 128, 10, scale=16, sub_centers=sub_centers)
        assert isinstance(head, MarginHead)
        self.head = head


def train(learner: Learner, digits: tuple[Tensor, Tensor], steps: range) -> list[float]:
    optimizer, losses = torch.optim.SGD(learner.parameters(), lr=0.05), []
    for step in steps:
        rows = torch.arange(64) + 64 * (step % 4)
        loss = learner.head.loss(learner.network(digits[0][rows]), digits[1][rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize(("name", "sub_centers"), CASES)
def test_the_loss_falls_and_digits_are_classified(name: str, sub_centers: int, digits: tuple[Tensor, Tensor]) -> None:
    learner = Learner(name, sub_centers)
    losses = train(learner, digits, range(60))
    assert np.mean(losses[-4:]) < 0.7 * np.mean(losses[:4])
    nearest = class_cosines(learner.eval().network(digits[0]), learner.head.weight, sub_centers).argmax(1)
    assert float((nearest == digits[1]).float().mean()) > 0.9


@pytest.mark.parametrize("name", sorted(HEADS))
def test_a_training_resumes_from_its_state_bit_for_bit(name: str, digits: tuple[Tensor, Tensor]) -> None:
    uninterrupted, first, second = Learner(name, 2), Learner(name, 2), Learner(name, 2)
    losses = train(uninterrupted, digits, range(8))
    assert train(first, digits, range(4)) == losses[:4]
    second.load_state_dict(first.state_dict())
    assert train(second, digits, range(4, 8)) == losses[4:]
