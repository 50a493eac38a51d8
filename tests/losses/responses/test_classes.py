"""What all losses of logits demand; their own files test their formulas."""

from __future__ import annotations

import pytest
import torch

from facekd.errors import ModelError
from tests.losses.samples import CLASSES, logits, loss_of_logits

LOSSES = pytest.mark.parametrize("name", ["kd", "dkd", "nkd", "dist", "kd-std"])


@LOSSES
def test_a_temperature_of_0_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=f"loss {name}: temperature must be above 0, not 0.0"):
        loss_of_logits(name, *logits(), temperature=0)


@LOSSES
@pytest.mark.parametrize("shape", [(6, CLASSES + 1), (6, 1), (1, CLASSES)])
def test_unequal_shapes_are_refused_not_broadcast(name: str, shape: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match="both must have been trained on the same classes"):
        loss_of_logits(name, logits()[0], torch.zeros(shape))
