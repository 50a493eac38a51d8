from __future__ import annotations

import pytest
import torch

from facekd.api.compress.duration import IMAGES_SEEN, default_epochs, epochs_for_minutes, training_speed


@pytest.mark.parametrize(("images", "epochs"), [(10_000, 30), (IMAGES_SEEN, 1), (10 * IMAGES_SEEN, 1), (300, 200)])
def test_the_default_shows_a_fixed_number_of_images(images: int, epochs: int) -> None:
    assert default_epochs(images) == epochs


def test_epochs_fit_into_the_minutes() -> None:
    assert epochs_for_minutes(10, 1000, 20) == 12
    assert epochs_for_minutes(1, 1000, 1) == 1


def test_the_network_is_timed_and_not_changed() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert training_speed(network, 16, torch.device("cpu")) > 0
    assert not network.training and all(torch.equal(value, before[name])
                                        for name, value in network.state_dict().items())
