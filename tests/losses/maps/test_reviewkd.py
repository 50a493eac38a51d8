from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.losses.maps.reviewkd import context_loss
from facekd.types import Answer, Question, Size

Array = NDArray[np.float64]
SIZE = Size(5, 3)


def question(done: float = 0.5) -> Question:
    return Question(torch.zeros(5, dtype=torch.int64), torch.arange(5), done)


def answer(*shapes: tuple[int, int, int], seed: int = 0, count: int = 5) -> Answer:
    generator = torch.Generator().manual_seed(seed)
    return Answer(torch.zeros(count, 2), tuple(torch.randn(count, *shape, generator=generator) for shape in shapes))


def averaged(maps: Array, side: int) -> Array:
    n, c, height, width = maps.shape
    return np.asarray(maps.reshape(n, c, side, height // side, side, width // side).mean(axis=(3, 5)))


def normed(maps: Array) -> Array:
    return np.asarray((maps - maps.mean((0, 2, 3), keepdims=True)) / np.sqrt(maps.var((0, 2, 3), keepdims=True) + 1e-5))


def convolved(maps: Array, weight: Array) -> Array:
    """With zeros around, so that the sides stay."""
    reach, side = weight.shape[2] // 2, maps.shape[2]
    around = np.pad(maps, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    return np.asarray(sum(np.einsum("oc,nchw->nohw", weight[:, :, i, j], around[:, :, i:i + side, j:j + side])
                          for i in range(weight.shape[2]) for j in range(weight.shape[3])))


def context(own: Array, target: Array) -> float:
    terms = [((own - target) ** 2).mean()]
    terms += [((averaged(own, k) - averaged(target, k)) ** 2).mean() for k in (4, 2, 1) if k < own.shape[2]]
    weights = [0.5**i for i in range(len(terms))]
    return float(np.dot(weights, terms) / np.sum(weights))


def truth(loss: Loss, student: Answer, teacher: Answer) -> float:
    """Of a fresh loss in training mode, whose norms neither scale nor shift."""
    state = {key: value.double().numpy() for key, value in loss.state_dict().items()}
    count, total, y = min(len(student.maps), len(teacher.maps)), 0.0, None
    for i in range(count):
        own, target = student.maps[-1 - i].double().numpy(), teacher.maps[-1 - i].double().numpy()
        x = normed(convolved(own, state[f"fusions.{i}.inward.weight"]))
        if y is not None:
            times = x.shape[2] // y.shape[2]
            y = y.repeat(times, axis=2).repeat(times, axis=3)
            logits = convolved(np.concatenate([x, y], axis=1), state[f"fusions.{i}.attention.weight"])
            gates = 1 / (1 + np.exp(-logits - state[f"fusions.{i}.attention.bias"][:, None, None]))
            x = gates[:, :1] * x + gates[:, 1:] * y
        y, side = x, min(x.shape[2], target.shape[2])
        total += context(normed(convolved(averaged(x, side), state[f"fusions.{i}.outward.weight"])),
                         averaged(target, side))
    return total


@pytest.mark.parametrize(("own", "target"), [
    (((3, 8, 8), (4, 4, 4), (5, 2, 2)), ((6, 8, 8), (7, 4, 4), (8, 2, 2))),
    (((3, 8, 8), (4, 4, 4), (5, 2, 2)), ((9, 8, 8), (6, 8, 8), (7, 8, 8), (8, 2, 2))),
    (((3, 8, 8), (4, 8, 8)), ((6, 4, 4), (7, 2, 2))),
    (((3, 4, 4),), ((6, 4, 4), (7, 4, 4))),
])
def test_it_is_the_papers_review(
    own: tuple[tuple[int, int, int], ...], target: tuple[tuple[int, int, int], ...]
) -> None:
    student, teacher = answer(*own), answer(*target, seed=1)
    loss = create_loss("reviewkd", student, teacher, SIZE)
    exact = truth(loss, student, teacher)
    assert float(loss(student, teacher, question()).detach()) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("side", [1, 2, 4, 8])
def test_the_context_loss_weighs_every_side_half_as_much_as_the_one_before(side: int) -> None:
    generator = torch.Generator().manual_seed(0)
    own, target = torch.randn(2, 3, 5, side, side, generator=generator, dtype=torch.float64)
    assert float(context_loss(own, target)) == pytest.approx(context(own.numpy(), target.numpy()), rel=1e-12)
    assert float(context_loss(own, own)) == 0


def test_a_shift_costs_the_same_at_every_side() -> None:
    assert float(context_loss(torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 3.0))) == pytest.approx(9)


@pytest.mark.parametrize(("done", "warmup", "share"), [(0.0, 1 / 12, 0), (1 / 24, 1 / 12, 0.5), (0.5, 1 / 12, 1),
                                                       (0.5, 1, 0.5), (0.0, 0, 1)])
def test_it_rises_to_its_full_weight(done: float, warmup: float, share: float) -> None:
    student, teacher = answer((3, 4, 4)), answer((5, 4, 4), seed=1)
    loss = create_loss("reviewkd", student, teacher, SIZE, warmup=warmup)
    full = float(loss(student, teacher, question(0.9999999)).detach())
    assert float(loss(student, teacher, question(done)).detach()) == pytest.approx(share * full, rel=1e-5)


def test_deep_maps_are_heard_in_shallow_losses() -> None:
    student, teacher = answer((3, 8, 8), (4, 4, 4)), answer((5, 8, 8), (6, 4, 4), seed=1)
    loss = create_loss("reviewkd", student, teacher, SIZE)
    for maps in student.maps:
        maps.requires_grad_()
    loss.load_state_dict(loss.state_dict() | {"fusions.0.outward_norm.weight": torch.zeros(6)})  # its own loss is deaf
    loss(student, teacher, question()).backward()
    assert all(maps.grad is not None and maps.grad.any() for maps in student.maps)


def test_the_width_is_that_of_the_students_deepest_map_up_to_512() -> None:
    for channels, width in ((4, 4), (600, 512)):
        state = create_loss("reviewkd", answer((3, 2, 2), (channels, 1, 1)), answer((5, 2, 2), (6, 1, 1)),
                            SIZE).state_dict()
        assert state["fusions.1.inward.weight"].shape == (width, 3, 1, 1)
        assert state["fusions.1.attention.weight"].shape == (2, 2 * width, 1, 1)


def test_a_restored_loss_is_the_same() -> None:
    student, teacher = answer((3, 8, 8), (4, 4, 4)), answer((5, 8, 8), (6, 4, 4), seed=1)
    loss, restored = (create_loss("reviewkd", student, teacher, SIZE) for _ in range(2))
    restored.load_state_dict(loss.state_dict())
    assert torch.equal(loss(student, teacher, question()), restored(student, teacher, question()))


def test_one_image_with_maps_of_one_place_is_finite() -> None:
    student, teacher = answer((3, 1, 1), count=1), answer((5, 1, 1), count=1)
    assert create_loss("reviewkd", student, teacher, SIZE)(student, teacher, question()).isfinite()


def test_what_it_was_not_made_for_is_refused() -> None:
    student, teacher = answer((3, 8, 8), (4, 4, 4)), answer((5, 8, 8), (6, 4, 4))
    with pytest.raises(ModelError, match="warmup is a share of the training, from 0 to 1, not 20"):
        create_loss("reviewkd", student, teacher, SIZE, warmup=20)
    loss = create_loss("reviewkd", student, teacher, SIZE)
    with pytest.raises(ModelError, match="pairs of maps: 1, but it was made for 2"):
        loss(answer((4, 4, 4)), teacher, question())
    with pytest.raises(ModelError, match="the fusion was made for another teacher"):
        loss(student, answer((5, 8, 8), (7, 4, 4)), question())
