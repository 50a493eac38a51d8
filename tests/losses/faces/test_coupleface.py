from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.losses.faces.coupleface import CoupleFace, mine_pairs, relation_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput

LABELS = [0, 1, 0, 2, 1, 3, 0]
CONTEXT = BatchContext(torch.tensor(LABELS), torch.arange(7))


def rows(seed: int) -> Tensor:
    return torch.randn(7, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(**options: float) -> Loss:
    return create_loss(CoupleFace.name, ModelOutput(rows(0)), ModelOutput(rows(1)), DatasetSize(7, 4), **options)


def truth(student: Tensor, teacher: Tensor, relation_weight: float, negatives: int) -> float:
    s = [row / np.linalg.norm(row) for row in student.numpy()]
    t = [row / np.linalg.norm(row) for row in teacher.numpy()]
    gaps = []
    for i, identity in enumerate(LABELS):
        others = sorted((j for j, label in enumerate(LABELS) if label != identity), key=lambda j: -float(t[i] @ t[j]))
        positives = [j for j, label in enumerate(LABELS) if label == identity and j != i]
        gaps += [(s[i] @ t[j] - t[i] @ t[j]) ** 2 for j in positives + others[:negatives]]
    consistency = np.mean([np.sum((a - b) ** 2) for a, b in zip(s, t, strict=True)])
    return float(consistency + relation_weight * np.mean(gaps))


@pytest.mark.parametrize(("relation_weight", "negatives"), [(1.0, 10), (3.0, 2), (0.5, 1)])
def test_it_is_consistency_and_the_relations_of_mined_pairs(relation_weight: float, negatives: int) -> None:
    loss = make(relation_weight=relation_weight, negatives=negatives)
    value = loss(ModelOutput(rows(0)), ModelOutput(rows(1)), CONTEXT)
    assert float(value) == pytest.approx(truth(rows(0), rows(1), relation_weight, negatives), rel=1e-9)


def test_pairs_are_all_positives_and_the_hardest_negatives() -> None:
    cosines = torch.tensor([[1.0, 0.2, 0.9, 0.3], [0.2, 1.0, 0.1, 0.8], [0.9, 0.1, 1.0, 0.4], [0.3, 0.8, 0.4, 1.0]])
    pairs = mine_pairs(cosines, torch.tensor([0, 0, 1, 2]), negatives=1)
    assert pairs.nonzero().tolist() == [[0, 1], [0, 2], [1, 0], [1, 3], [2, 0], [3, 1]]


def test_lengths_of_embeddings_do_not_matter() -> None:
    lengths = torch.arange(1.0, 8.0)[:, None]
    torch.testing.assert_close(make()(ModelOutput(lengths * rows(0)), ModelOutput(rows(1) * 7), CONTEXT),
                               make()(ModelOutput(rows(0)), ModelOutput(rows(1)), CONTEXT))


def test_a_rotation_of_the_students_space_is_not_free() -> None:
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)).Q
    assert float(relation_loss(rows(1) @ rotation, rows(1), CONTEXT.labels, 3)) > 0.01


def test_equal_directions_cost_nothing() -> None:
    assert float(make()(ModelOutput(2 * rows(1)), ModelOutput(rows(1)), CONTEXT)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("labels", [[4, 4, 4], [0, 1, 2], [5]])
def test_a_batch_without_negatives_or_positives_or_pairs_is_finite(labels: list[int]) -> None:
    n = len(labels)
    student = rows(0)[:n].requires_grad_()
    loss = make()(ModelOutput(student), ModelOutput(rows(1)[:n]), BatchContext(torch.tensor(labels), torch.arange(n)))
    loss.backward()
    assert bool(loss.isfinite()) and student.grad is not None and bool(student.grad.isfinite().all())


def test_bad_options_and_sizes_are_refused() -> None:
    with pytest.raises(ModelError, match="negatives must be at least 1"):
        make(negatives=0)
    with pytest.raises(ModelError, match="embeddings"):
        make()(ModelOutput(rows(0)[:, :3]), ModelOutput(rows(1)), CONTEXT)
