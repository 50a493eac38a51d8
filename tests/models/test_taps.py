from __future__ import annotations

import pytest
import torch

from facekd.models.registry import create, names
from facekd.models.taps import Tapped


@pytest.mark.parametrize("name", names())
def test_maps_get_coarser_and_reach_the_outputs(name: str) -> None:
    options = {} if name.startswith(("shufflenet", "wrn")) else {"width": 0.5 if name.startswith("resnet") else 0.25}
    network = create(name, size=32, outputs=8, **options).eval()
    images = torch.rand(2, 3, 32, 32)
    answer = Tapped(network)(images)
    torch.testing.assert_close(answer.outputs, network(images), rtol=0, atol=0)
    sides = [m.shape[-1] for m in answer.maps]
    assert len(sides) >= 3 and sides == sorted(sides, reverse=True) and min(sides) >= 1
    gradients = torch.autograd.grad(answer.outputs.sum(), answer.maps)  # every map lies on the way to the outputs
    assert all(float(g.abs().max()) > 0 for g in gradients)


def test_hooks_leave_the_state_alone() -> None:
    network = create("iresnet10", size=32, outputs=8, width=0.25)
    before = list(network.state_dict())
    Tapped(network)
    assert list(network.state_dict()) == before
