from __future__ import annotations

import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.heads.margin import Margin, check_angle, check_rate


class Shifted(Margin):
    """A margin that is easy to compute: the target less 0.5, and twice the cosine of other classes."""

    def target_logit(self, cos: Tensor, norms: Tensor) -> Tensor:
        return cos - 0.5

    def other_logits(self, cos: Tensor, target: Tensor) -> Tensor:
        return 2 * cos


class Plain(Margin):
    """A margin with the defaults of the base class."""

    def target_logit(self, cos: Tensor, norms: Tensor) -> Tensor:
        return cos


COS = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
NORMS = torch.tensor([10.0, 20.0])


def test_the_target_replaces_its_column_and_no_other() -> None:
    logits = Shifted().logits(COS, torch.tensor([2, 0]), torch.tensor([0.3, 0.4]), NORMS)
    torch.testing.assert_close(logits, torch.tensor([[0.2, 0.4, -0.2], [-0.1, 1.0, 1.2]]))


def test_a_target_in_another_shard_replaces_no_column() -> None:
    logits = Shifted().logits(COS, torch.tensor([-1, 1]), torch.tensor([0.9, 0.5]), NORMS)
    torch.testing.assert_close(logits, torch.tensor([[0.2, 0.4, 0.6], [0.8, 0.0, 1.2]]))


def test_by_default_other_classes_keep_their_cosine_without_penalty_or_statistics() -> None:
    margin = Plain()
    margin.update_statistics(COS[:, 0], NORMS)
    assert torch.equal(margin.other_logits(COS, COS[:, 0]), COS)
    assert margin.penalty(NORMS).tolist() == [0.0, 0.0] and margin.state_dict() == {}


@pytest.mark.parametrize("margin", [-0.1, 1.5708, float("nan")])
def test_an_angle_outside_of_0_to_half_pi_is_refused(margin: float) -> None:
    with pytest.raises(ModelError, match=r"margin must be in \[0, pi/2\)"):
        check_angle(margin)
    assert check_angle(0.0) == 0.0 and check_angle(1.57) == 1.57


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, float("nan")])
def test_a_rate_outside_of_0_to_1_is_refused(rate: float) -> None:
    with pytest.raises(ModelError, match="rate must be above 0 and at most 1"):
        check_rate(rate)
    assert check_rate(1.0) == 1.0
