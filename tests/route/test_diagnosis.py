from __future__ import annotations

import numpy as np
import pytest
import torch

from facekd.errors import RouteError
from facekd.route import diagnosis as diagnosis_module
from facekd.route.diagnosis import diagnose_student


def losses(*means: float, images: int = 400, spread: float = 0.5) -> torch.Tensor:
    """Losses of so many points, [points, images], whose mean over the images is exactly as given."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, spread, (len(means), images))
    return torch.tensor(noise - noise.mean(axis=1, keepdims=True) + np.array(means)[:, None])


def test_a_student_near_an_early_point_needs_the_route() -> None:
    result = diagnose_student(losses(0.2, 0.05, 0.1, 1.0), 1.1)
    assert (result.nearest_point, result.images, result.premise_holds) == (1, 400, True)
    assert (result.nearest_loss, result.end_loss) == pytest.approx((0.05, 1.0))
    assert result.describe().startswith("the premise holds: the student is stuck near an earlier point")
    assert ("point 1, the nearest earlier point: 0.05, with the end: 1 (from the start of the route to its end: 1.1), "
            "difference +0.95 [") in result.describe()
    assert result.describe().endswith("(95% interval, 400 images)")


@pytest.mark.parametrize("means", [(0.9, 0.8, 0.1), (0.5, 0.1, 0.1), (0.5, 0.1, 0.12)])
def test_a_student_nearest_to_the_end_or_not_clearly_nearer_to_another_point_does_not(means: tuple[float, ...]) -> None:
    result = diagnose_student(losses(*means), 0.1)
    assert (result.nearest_point, result.premise_holds) == (1, False)
    assert result.describe().startswith(
        "the premise does not hold: plain distillation (--strategy final) is the better choice; congruence loss")


def test_the_interval_is_paired() -> None:
    """Images differ much more than the two points do: unpaired resamples would show no difference."""
    images = losses(2.0, spread=5.0)[0]
    result = diagnose_student(torch.stack([images, images + 0.1]), 2.0)
    assert result.interval == pytest.approx((0.1, 0.1))
    assert result.premise_holds


def test_the_interval_has_the_width_of_the_standard_error() -> None:
    values = losses(0.0, 0.3, images=1000)
    result = diagnose_student(values, 1.0)
    error = float((values[1] - values[0]).std()) / 1000**0.5
    assert result.interval == pytest.approx((0.3 - 1.96 * error, 0.3 + 1.96 * error), abs=0.2 * error)


def test_the_same_losses_have_the_same_interval_whatever_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    first = diagnose_student(losses(0.1, 0.2), 1.0)
    assert diagnose_student(losses(0.1, 0.2), 1.0) == first
    monkeypatch.setattr(diagnosis_module, "MAX_DRAWS", 1)
    assert diagnose_student(losses(0.1, 0.2), 1.0) == first


def test_a_route_of_one_point_is_refused() -> None:
    with pytest.raises(RouteError, match="no earlier point to compare; record more"):
        diagnose_student(losses(0.1), 1.0)


@pytest.mark.parametrize(("route_loss", "is_stuck"), [(0.19, True), (0.21, False)])
def test_a_student_that_has_come_more_than_half_of_the_way_is_not_stuck(route_loss: float, is_stuck: bool) -> None:
    assert diagnose_student(losses(0.1, 0.01, 0.1), route_loss).premise_holds is is_stuck
