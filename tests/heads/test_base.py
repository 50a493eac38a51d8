from __future__ import annotations

import numpy as np
import pytest
import torch

from facekd.errors import ModelError
from facekd.heads import create_head
from facekd.heads.base import Head

LABELS = torch.tensor([0, 1, 2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_pass_as_they_are(dtype: torch.dtype) -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    out = create_head("softmax", 4, 4)(logits, LABELS)
    assert out.dtype == dtype and torch.equal(out, logits)


def test_the_gradient_passes_as_it_is() -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = torch.nn.functional.cross_entropy(create_head("softmax", 4, 4)(logits, LABELS), LABELS)
    (gradient,) = torch.autograd.grad(loss, logits)
    truth = (logits.detach().double().softmax(1) - torch.eye(4, dtype=torch.float64)[LABELS]) / 3
    torch.testing.assert_close(gradient, truth.float())


def test_softmax_has_nothing_to_train_and_no_state() -> None:
    assert create_head("softmax", 4, 4).state_dict() == {}


@pytest.mark.parametrize(("outputs", "classes"), [(128, 100), (100, 128)])
def test_one_output_a_class_is_needed(outputs: int, classes: int) -> None:
    with pytest.raises(ModelError, match=f"one output a class: the network has {outputs}, the data {classes}"):
        create_head("softmax", outputs, classes)


def test_an_unknown_head_names_it() -> None:
    with pytest.raises(ModelError, match="unknown head 'sofmax': did you mean 'softmax'"):
        create_head("sofmax", 4, 4)


class Scaled(Head):
    """A head with logits other than its outputs."""

    def forward(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return 2 * outputs


@pytest.mark.parametrize(("dtype", "loss_dtype"), [
    (torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64),
])
def test_the_loss_is_the_cross_entropy_of_the_logits_in_float32_or_better(
    dtype: torch.dtype, loss_dtype: torch.dtype
) -> None:
    outputs = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    loss = Scaled().loss(outputs, LABELS)
    logits = 2 * outputs.double().numpy()
    truth = np.mean([np.log(np.exp(row).sum()) - row[label] for row, label in zip(logits, LABELS, strict=True)])
    assert loss.dtype == loss_dtype and float(loss) == pytest.approx(truth, rel=1e-6)
