from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.maps.ie_od import InheritExploreActivations, partial_l2
from facekd.types import BatchContext, DatasetSize, ModelOutput

SIZE = DatasetSize(5, 3)


def context(progress: float = 0.0) -> BatchContext:
    return BatchContext(torch.zeros(5, dtype=torch.int64), torch.arange(5), progress)


def make_output(*shape: int, seed: int = 0) -> ModelOutput:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(5, *shape, generator=generator, dtype=torch.float64)
    return ModelOutput(torch.zeros(5, 2, dtype=torch.float64), (maps,))


def make_loss(student: ModelOutput, teacher: ModelOutput, **options: Any) -> InheritExploreActivations:
    torch.manual_seed(0)
    loss = create_loss("ie-od-ours", student, teacher, SIZE, **options)
    assert isinstance(loss, InheritExploreActivations)
    return loss


def regress(connector: Any, maps: Tensor) -> Any:
    x = np.einsum("oc,nchw->nohw", connector[0].weight.detach().numpy()[:, :, 0, 0], maps.numpy())
    return (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)


def test_partial_l2_ignores_what_a_relu_cuts_off() -> None:
    student_map = torch.tensor([-3.0, -1.0, 2.0, -2.0, 1.0])
    teacher_map = torch.tensor([-1.0, -3.0, -1.0, 0.0, 4.0])
    assert float(partial_l2(student_map, teacher_map)) == pytest.approx((0 + 4 + 9 + 0 + 9) / 5)


def test_one_half_rebuilds_the_teachers_map_and_the_other_keeps_away() -> None:
    student, teacher = make_output(6, 4, 4), make_output(8, 2, 2, seed=1)
    loss = make_loss(student, teacher, exploration_weight=0.7)
    loss.pretrain_loss(teacher, context())
    teacher_map = teacher.feature_maps[0].numpy()
    for c in range(8):
        channel = teacher_map[:, c]
        teacher_map[:, c] = np.maximum(channel, channel[channel < 0].mean())
    student_map = student.feature_maps[0].reshape(5, 6, 2, 2, 2, 2).mean(dim=(3, 5))
    inheriting, exploring = regress(loss.inheritor, student_map[:, :3]), regress(loss.explorer, student_map[:, 3:])
    exact = np.where((inheriting <= teacher_map) & (teacher_map <= 0), 0, (inheriting - teacher_map) ** 2).mean()
    for a, b in zip(exploring, teacher_map, strict=True):
        exact += 0.7 * abs((a * b).sum()) / np.sqrt((a * a).sum() * (b * b).sum()) / 5
    assert float(loss(student, make_output(8, 2, 2, seed=1), context()).detach()) == pytest.approx(exact, rel=1e-9)


def test_pretraining_finds_the_mean_of_negative_values_and_starts_over() -> None:
    one, two = make_output(3, 4, 4, seed=1), make_output(3, 4, 4, seed=2)
    loss = make_loss(make_output(4, 4, 4), one)
    for teacher, progress in ((make_output(3, 4, 4, seed=3), 0.0), (one, 0.0), (two, 0.5)):
        assert loss.pretrain_loss(teacher, context(progress)) is None
    both = torch.cat([one.feature_maps[0], two.feature_maps[0]]).numpy()
    margins = [both[:, c][both[:, c] < 0].mean() for c in range(3)]
    assert (loss.negative_sum / loss.negative_count).flatten().tolist() == pytest.approx(margins)


def test_margins_are_saved_with_the_loss() -> None:
    student, teacher = make_output(4, 4, 4), make_output(3, 4, 4, seed=1)
    saved, other = make_loss(student, teacher), make_loss(student, teacher)
    saved.pretrain_loss(teacher, context())
    assert not torch.equal(other(student, teacher, context()), saved(student, teacher, context()))
    other.load_state_dict(saved.state_dict())
    assert torch.equal(other(student, teacher, context()), saved(student, teacher, context()))


def test_a_map_that_a_relu_ends_has_no_margins() -> None:
    student, teacher = make_output(4, 4, 4), make_output(3, 4, 4, seed=1)
    cut = ModelOutput(torch.zeros(5, 2), (teacher.feature_maps[0].relu(),))
    pretrained, fresh = make_loss(student, cut), make_loss(student, cut)
    pretrained.pretrain_loss(cut, context())
    assert torch.equal(pretrained(student, cut, context()), fresh(student, cut, context()))


def test_maps_of_other_channels_are_refused() -> None:
    loss = make_loss(make_output(4, 4, 4), make_output(3, 4, 4))
    with pytest.raises(ModelError, match="has 6 channels and the loss was created for 4"):
        loss(make_output(6, 4, 4), make_output(3, 4, 4), context())
    with pytest.raises(ModelError, match="loss ie-od-ours: a student's feature map has 1 channel"):
        make_loss(make_output(1, 4, 4), make_output(3, 4, 4))
