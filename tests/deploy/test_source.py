from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.deploy.source import TINY, Form, freeze
from facekd.errors import ExportError
from facekd.models.preprocessing import to_input
from facekd.models.registry import Network, create


def test_pixels_are_scaled_as_insightface_scales_them() -> None:
    pixels = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
    expected = (pixels.astype(np.float64) - 127.5) / 127.5
    np.testing.assert_allclose(Form().preprocess(pixels).transpose(0, 2, 3, 1), expected, atol=1e-7)
    np.testing.assert_allclose(to_input(torch.from_numpy(pixels)).numpy().transpose(0, 2, 3, 1), expected, atol=1e-7)
    np.testing.assert_array_equal(Form("uint8").preprocess(pixels).transpose(0, 2, 3, 1), pixels)


@pytest.mark.parametrize("split_prelu", [False, True])
@pytest.mark.parametrize("form", [Form(), Form("uint8"), Form("float", True), Form("uint8", True)])
def test_what_is_exported_answers_as_the_network(
    tiny: Network, crops: NDArray[np.uint8], form: Form, split_prelu: bool
) -> None:
    source = freeze(tiny, form, "tiny")
    with torch.no_grad():
        found = source.graph(split_prelu)(torch.from_numpy(form.preprocess(crops))).numpy()
    wanted = source.embed(crops)
    length = np.linalg.norm(wanted, axis=1, keepdims=True) if form.unit else 1
    np.testing.assert_allclose(found, wanted / length, atol=1e-5)


def test_the_network_is_left_as_it_was(make_tiny: Callable[[int], Network]) -> None:
    model, fresh = make_tiny(32).train(), make_tiny(32)
    with torch.no_grad():
        next(model.parameters())[0, 0, 0, 0] = 1e-40
    before = [value.clone() for value in model.state_dict().values()]
    freeze(model, Form(), "tiny").graph(split_prelu=True)
    assert [type(m) for m in model.modules()] == [type(m) for m in fresh.modules()]
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))
    assert model.training and all(p.requires_grad for p in model.parameters())


def test_denormals_become_zero_and_the_rest_stays(make_tiny: Callable[[int], Network]) -> None:
    model = make_tiny(32)
    with torch.no_grad():
        next(model.parameters())[0, 0, 0] = torch.tensor([1e-40, -1e-40, TINY])
    weight = next(freeze(model, Form(), "tiny").network.parameters())
    assert weight[0, 0, 0].tolist() == [0.0, 0.0, TINY]
    assert torch.equal(weight[1:], next(model.parameters())[1:])


def test_crops_of_another_size_are_refused(tiny: Network) -> None:
    with pytest.raises(ExportError, match="112"):
        freeze(tiny, Form(), "tiny", np.zeros((2, 64, 64, 3), np.uint8))


def test_pixels_scaled_otherwise_are_refused() -> None:
    model = create("mobilenetv2", size=32, outputs=8, pixels="cifar100")
    with pytest.raises(ExportError, match="pixels scaled as 'cifar100'"):
        freeze(model, Form(), "m")
