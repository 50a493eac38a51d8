from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.losses.maps.reviewkd import context_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput

Array = NDArray[np.float64]
SIZE = DatasetSize(5, 3)


def context(progress: float = 0.5) -> BatchContext:
    return BatchContext(torch.zeros(5, dtype=torch.int64), torch.arange(5), progress)


def make_output(*shapes: tuple[int, int, int], seed: int = 0, count: int = 5) -> ModelOutput:
    generator = torch.Generator().manual_seed(seed)
    maps = tuple(torch.randn(count, *shape, generator=generator) for shape in shapes)
    return ModelOutput(torch.zeros(count, 2), maps)


def averaged(maps: Array, side: int) -> Array:
    n, c, height, width = maps.shape
    return np.asarray(maps.reshape(n, c, side, height // side, side, width // side).mean(axis=(3, 5)))


def normalize(maps: Array) -> Array:
    return np.asarray((maps - maps.mean((0, 2, 3), keepdims=True)) / np.sqrt(maps.var((0, 2, 3), keepdims=True) + 1e-5))


def convolve(maps: Array, weight: Array) -> Array:
    """Convolve with zero padding that keeps the resolution."""
    margin, side = weight.shape[2] // 2, maps.shape[2]
    padded = np.pad(maps, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    return np.asarray(sum(np.einsum("oc,nchw->nohw", weight[:, :, i, j], padded[:, :, i:i + side, j:j + side])
                          for i in range(weight.shape[2]) for j in range(weight.shape[3])))


def expected_context_loss(student_map: Array, teacher_map: Array) -> float:
    terms = [((student_map - teacher_map) ** 2).mean()]
    sides = [side for side in (4, 2, 1) if side < student_map.shape[2]]
    terms += [((averaged(student_map, side) - averaged(teacher_map, side)) ** 2).mean() for side in sides]
    weights = [0.5**i for i in range(len(terms))]
    return float(np.dot(weights, terms) / np.sum(weights))


def truth(loss: Loss, student: ModelOutput, teacher: ModelOutput) -> float:
    """Return the value of a new loss in training mode, whose norms neither scale nor shift."""
    state = {key: value.double().numpy() for key, value in loss.state_dict().items()}
    count, total, y = min(len(student.feature_maps), len(teacher.feature_maps)), 0.0, None
    for i in range(count):
        student_map = student.feature_maps[-1 - i].double().numpy()
        teacher_map = teacher.feature_maps[-1 - i].double().numpy()
        x = normalize(convolve(student_map, state[f"fusions.{i}.input_conv.weight"]))
        if y is not None:
            times = x.shape[2] // y.shape[2]
            y = y.repeat(times, axis=2).repeat(times, axis=3)
            logits = convolve(np.concatenate([x, y], axis=1), state[f"fusions.{i}.attention.weight"])
            gates = 1 / (1 + np.exp(-logits - state[f"fusions.{i}.attention.bias"][:, None, None]))
            x = gates[:, :1] * x + gates[:, 1:] * y
        y, side = x, min(x.shape[2], teacher_map.shape[2])
        fused = normalize(convolve(averaged(x, side), state[f"fusions.{i}.output_conv.weight"]))
        total += expected_context_loss(fused, averaged(teacher_map, side))
    return total


@pytest.mark.parametrize(("student_shapes", "teacher_shapes"), [
    (((3, 8, 8), (4, 4, 4), (5, 2, 2)), ((6, 8, 8), (7, 4, 4), (8, 2, 2))),
    (((3, 8, 8), (4, 4, 4), (5, 2, 2)), ((9, 8, 8), (6, 8, 8), (7, 8, 8), (8, 2, 2))),
    (((3, 8, 8), (4, 8, 8)), ((6, 4, 4), (7, 2, 2))),
    (((3, 4, 4),), ((6, 4, 4), (7, 4, 4))),
])
def test_it_is_the_papers_review(
    student_shapes: tuple[tuple[int, int, int], ...], teacher_shapes: tuple[tuple[int, int, int], ...]
) -> None:
    student, teacher = make_output(*student_shapes), make_output(*teacher_shapes, seed=1)
    loss = create_loss("reviewkd", student, teacher, SIZE)
    exact = truth(loss, student, teacher)
    assert float(loss(student, teacher, context()).detach()) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("side", [1, 2, 4, 8])
def test_the_context_loss_weights_every_side_half_as_much_as_the_one_before(side: int) -> None:
    generator = torch.Generator().manual_seed(0)
    student_map, teacher_map = torch.randn(2, 3, 5, side, side, generator=generator, dtype=torch.float64)
    exact = expected_context_loss(student_map.numpy(), teacher_map.numpy())
    assert float(context_loss(student_map, teacher_map)) == pytest.approx(exact, rel=1e-12)
    assert float(context_loss(student_map, student_map)) == 0


def test_a_shift_costs_the_same_at_every_side() -> None:
    assert float(context_loss(torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 3.0))) == pytest.approx(9)


@pytest.mark.parametrize(("progress", "warmup", "share"), [(0.0, 1 / 12, 0), (1 / 24, 1 / 12, 0.5), (0.5, 1 / 12, 1),
                                                       (0.5, 1, 0.5), (0.0, 0, 1)])
def test_it_rises_to_its_full_weight(progress: float, warmup: float, share: float) -> None:
    student, teacher = make_output((3, 4, 4)), make_output((5, 4, 4), seed=1)
    loss = create_loss("reviewkd", student, teacher, SIZE, warmup=warmup)
    full = float(loss(student, teacher, context(0.9999999)).detach())
    assert float(loss(student, teacher, context(progress)).detach()) == pytest.approx(share * full, rel=1e-5)


def test_deep_maps_get_gradients_from_shallow_losses() -> None:
    student, teacher = make_output((3, 8, 8), (4, 4, 4)), make_output((5, 8, 8), (6, 4, 4), seed=1)
    loss = create_loss("reviewkd", student, teacher, SIZE)
    for maps in student.feature_maps:
        maps.requires_grad_()
    # The deep stage's own loss gets no gradient, so any gradient of its map comes from the shallow one.
    loss.load_state_dict(loss.state_dict() | {"fusions.0.output_norm.weight": torch.zeros(6)})
    loss(student, teacher, context()).backward()
    assert all(maps.grad is not None and maps.grad.any() for maps in student.feature_maps)


def test_the_width_is_that_of_the_students_deepest_map_up_to_512() -> None:
    for channels, width in ((4, 4), (600, 512)):
        state = create_loss("reviewkd", make_output((3, 2, 2), (channels, 1, 1)), make_output((5, 2, 2), (6, 1, 1)),
                            SIZE).state_dict()
        assert state["fusions.1.input_conv.weight"].shape == (width, 3, 1, 1)
        assert state["fusions.1.attention.weight"].shape == (2, 2 * width, 1, 1)


def test_a_restored_loss_is_the_same() -> None:
    student, teacher = make_output((3, 8, 8), (4, 4, 4)), make_output((5, 8, 8), (6, 4, 4), seed=1)
    loss, restored = (create_loss("reviewkd", student, teacher, SIZE) for _ in range(2))
    restored.load_state_dict(loss.state_dict())
    assert torch.equal(loss(student, teacher, context()), restored(student, teacher, context()))


def test_one_image_with_maps_of_one_place_is_finite() -> None:
    student, teacher = make_output((3, 1, 1), count=1), make_output((5, 1, 1), count=1)
    assert create_loss("reviewkd", student, teacher, SIZE)(student, teacher, context()).isfinite()


def test_what_it_was_not_made_for_is_refused() -> None:
    student, teacher = make_output((3, 8, 8), (4, 4, 4)), make_output((5, 8, 8), (6, 4, 4))
    with pytest.raises(ModelError, match="warmup is a share of the training, from 0 to 1, not 20"):
        create_loss("reviewkd", student, teacher, SIZE, warmup=20)
    loss = create_loss("reviewkd", student, teacher, SIZE)
    with pytest.raises(ModelError, match="pairs of feature maps: 1, but it was created for 2"):
        loss(make_output((4, 4, 4)), teacher, context())
    with pytest.raises(ModelError, match="the fusion was created for another teacher"):
        loss(student, make_output((5, 8, 8), (7, 4, 4)), context())
