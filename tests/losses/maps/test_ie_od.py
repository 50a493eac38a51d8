from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.maps.ie_od import InheritExploreActivations, partial
from facekd.types import Answer, Question, Size

SIZE = Size(5, 3)


def question(done: float = 0.0) -> Question:
    return Question(torch.zeros(5, dtype=torch.int64), torch.arange(5), done)


def answer(*shape: int, seed: int = 0) -> Answer:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(5, *shape, generator=generator, dtype=torch.float64)
    return Answer(torch.zeros(5, 2, dtype=torch.float64), (maps,))


def made(student: Answer, teacher: Answer, **options: Any) -> InheritExploreActivations:
    torch.manual_seed(0)
    loss = create_loss("ie-od-ours", student, teacher, SIZE, **options)
    assert isinstance(loss, InheritExploreActivations)
    return loss


def regressed(connector: Any, maps: Tensor) -> Any:
    x = np.einsum("oc,nchw->nohw", connector[0].weight.detach().numpy()[:, :, 0, 0], maps.numpy())
    return (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)


def test_partial_forgives_what_a_relu_cuts_off() -> None:
    own = torch.tensor([-3.0, -1.0, 2.0, -2.0, 1.0])
    target = torch.tensor([-1.0, -3.0, -1.0, 0.0, 4.0])
    assert float(partial(own, target)) == pytest.approx((0 + 4 + 9 + 0 + 9) / 5)


def test_one_half_rebuilds_the_teachers_map_and_the_other_keeps_away() -> None:
    student, teacher = answer(6, 4, 4), answer(8, 2, 2, seed=1)
    loss = made(student, teacher, explore=0.7)
    loss.lesson(teacher, question())
    target = teacher.maps[0].numpy()
    for c in range(8):
        channel = target[:, c]
        target[:, c] = np.maximum(channel, channel[channel < 0].mean())
    own = student.maps[0].reshape(5, 6, 2, 2, 2, 2).mean(dim=(3, 5))
    near, far = regressed(loss.inheritor, own[:, :3]), regressed(loss.explorer, own[:, 3:])
    exact = np.where((near <= target) & (target <= 0), 0, (near - target) ** 2).mean()
    for a, b in zip(far, target, strict=True):
        exact += 0.7 * abs((a * b).sum()) / np.sqrt((a * a).sum() * (b * b).sum()) / 5
    assert float(loss(student, answer(8, 2, 2, seed=1), question()).detach()) == pytest.approx(exact, rel=1e-9)


def test_lessons_find_the_mean_of_what_is_below_nothing_and_begin_anew() -> None:
    one, two = answer(3, 4, 4, seed=1), answer(3, 4, 4, seed=2)
    loss = made(answer(4, 4, 4), one)
    for teacher, done in ((answer(3, 4, 4, seed=3), 0.0), (one, 0.0), (two, 0.5)):
        assert loss.lesson(teacher, question(done)) is None
    both = torch.cat([one.maps[0], two.maps[0]]).numpy()
    margins = [both[:, c][both[:, c] < 0].mean() for c in range(3)]
    assert (loss.below / loss.count).flatten().tolist() == pytest.approx(margins)


def test_margins_are_saved_with_the_loss() -> None:
    student, teacher = answer(4, 4, 4), answer(3, 4, 4, seed=1)
    saved, other = made(student, teacher), made(student, teacher)
    saved.lesson(teacher, question())
    assert not torch.equal(other(student, teacher, question()), saved(student, teacher, question()))
    other.load_state_dict(saved.state_dict())
    assert torch.equal(other(student, teacher, question()), saved(student, teacher, question()))


def test_a_map_that_a_relu_ends_has_no_margins() -> None:
    student, cut = answer(4, 4, 4), Answer(torch.zeros(5, 2), (answer(3, 4, 4, seed=1).maps[0].relu(),))
    taught, fresh = made(student, cut), made(student, cut)
    taught.lesson(cut, question())
    assert torch.equal(taught(student, cut, question()), fresh(student, cut, question()))


def test_maps_of_other_channels_are_refused() -> None:
    loss = made(answer(4, 4, 4), answer(3, 4, 4))
    with pytest.raises(ModelError, match="has 6 channels and the loss was made for 4"):
        loss(answer(6, 4, 4), answer(3, 4, 4), question())
    with pytest.raises(ModelError, match="loss ie-od-ours: a student's map has 1 channel"):
        made(answer(1, 4, 4), answer(3, 4, 4))
