from __future__ import annotations

import numpy as np
import pytest
import torch

from facekd.errors import ModelError
from facekd.losses.faces.class_centers import ClassCenters, class_sums
from facekd.types import BatchContext, DatasetSize, ModelOutput

LABELS = torch.tensor([0, 2, 2, 0, 2])


def embeddings(seed: int = 0) -> torch.Tensor:
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def context(progress: float, labels: torch.Tensor = LABELS) -> BatchContext:
    return BatchContext(labels, torch.arange(len(labels)), progress)


def make_centers() -> ClassCenters:
    return ClassCenters(ModelOutput(embeddings()), DatasetSize(5, 4), "some")


def mean_direction(rows: torch.Tensor) -> np.ndarray:
    units = [row / np.sqrt(sum(x * x for x in row)) for row in rows.numpy()]
    total = np.sum(units, axis=0)
    return np.asarray(total / np.sqrt((total * total).sum()))


def test_a_center_is_the_direction_of_the_mean_of_unit_embeddings() -> None:
    centers, rows = make_centers(), embeddings()
    centers.accumulate(ModelOutput(rows), context(0.0))
    result = centers.centers().numpy()
    np.testing.assert_allclose(result[0], mean_direction(rows[[0, 3]]))
    np.testing.assert_allclose(result[2], mean_direction(rows[[1, 2, 4]]))


def test_batches_add_up_and_lengths_do_not_count() -> None:
    whole, in_two_batches, rows = make_centers(), make_centers(), embeddings()
    whole.accumulate(ModelOutput(rows), context(0.0))
    in_two_batches.accumulate(ModelOutput(rows[:2] * 7), context(0.0, LABELS[:2]))
    in_two_batches.accumulate(ModelOutput(rows[2:] / 3), context(0.4, LABELS[2:]))
    torch.testing.assert_close(whole.centers(), in_two_batches.centers())


def test_the_first_batch_of_pretraining_forgets_the_last_pretraining() -> None:
    centers, fresh = make_centers(), make_centers()
    centers.accumulate(ModelOutput(embeddings(1)), context(0.0))
    centers.accumulate(ModelOutput(embeddings()), context(0.0))
    fresh.accumulate(ModelOutput(embeddings()), context(0.0))
    assert torch.equal(centers.centers(), fresh.centers())


def test_a_class_never_seen_is_a_zero_row() -> None:
    centers = make_centers()
    centers.accumulate(ModelOutput(embeddings()), context(0.0))
    assert not centers.centers()[[1, 3]].any()


def test_a_batch_gives_the_centers_of_classes_missing_in_pretraining_and_no_others() -> None:
    centers, rows = make_centers(), embeddings(1)
    centers.accumulate(ModelOutput(embeddings()), context(0.0))
    result = centers.centers_with_batch(rows, torch.tensor([0, 1, 1, 2, 0]))
    assert torch.equal(result[[0, 2, 3]], centers.centers()[[0, 2, 3]])
    np.testing.assert_allclose(result[1].numpy(), mean_direction(rows[[1, 2]]))


def test_no_gradient_passes_through_sums() -> None:
    assert not class_sums(embeddings().requires_grad_(), LABELS, 4).requires_grad


def test_centers_are_kept_with_the_state() -> None:
    centers, other = make_centers(), make_centers()
    centers.accumulate(ModelOutput(embeddings()), context(0.0))
    other.load_state_dict(centers.state_dict())
    assert torch.equal(other.centers(), centers.centers())


def test_a_teacher_of_another_width_is_refused() -> None:
    with pytest.raises(ModelError, match="loss some: the teacher's embeddings have 2 values and the class centers 3"):
        make_centers().accumulate(ModelOutput(embeddings()[:, :2]), context(0.0))
