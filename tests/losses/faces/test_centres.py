from __future__ import annotations

import numpy as np
import pytest
import torch

from facekd.errors import ModelError
from facekd.losses.faces.centres import Centres, class_sums, cosines
from facekd.types import Answer, Question, Size

LABELS = torch.tensor([0, 2, 2, 0, 2])


def embeddings(seed: int = 0) -> torch.Tensor:
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def question(done: float, labels: torch.Tensor = LABELS) -> Question:
    return Question(labels, torch.arange(len(labels)), done)


def centres() -> Centres:
    return Centres(Answer(embeddings()), Size(5, 4), "some")


def mean_direction(rows: torch.Tensor) -> np.ndarray:
    units = [row / np.sqrt(sum(x * x for x in row)) for row in rows.numpy()]
    total = np.sum(units, axis=0)
    return np.asarray(total / np.sqrt((total * total).sum()))


def test_a_centre_is_the_direction_of_the_mean_of_unit_embeddings() -> None:
    made, rows = centres(), embeddings()
    made.look(Answer(rows), question(0.0))
    found = made.directions().numpy()
    np.testing.assert_allclose(found[0], mean_direction(rows[[0, 3]]))
    np.testing.assert_allclose(found[2], mean_direction(rows[[1, 2, 4]]))


def test_batches_add_up_and_lengths_do_not_count() -> None:
    whole, parts, rows = centres(), centres(), embeddings()
    whole.look(Answer(rows), question(0.0))
    parts.look(Answer(rows[:2] * 7), question(0.0, LABELS[:2]))
    parts.look(Answer(rows[2:] / 3), question(0.4, LABELS[2:]))
    torch.testing.assert_close(whole.directions(), parts.directions())


def test_the_first_batch_of_a_lesson_forgets_the_last_lesson() -> None:
    made, fresh = centres(), centres()
    made.look(Answer(embeddings(1)), question(0.0))
    made.look(Answer(embeddings()), question(0.0))
    fresh.look(Answer(embeddings()), question(0.0))
    assert torch.equal(made.directions(), fresh.directions())


def test_a_class_never_seen_is_a_zero_row() -> None:
    made = centres()
    made.look(Answer(embeddings()), question(0.0))
    assert not made.directions()[[1, 3]].any()


def test_a_batch_helps_out_for_classes_no_lesson_has_shown_and_no_others() -> None:
    made, rows = centres(), embeddings(1)
    made.look(Answer(embeddings()), question(0.0))
    found = made.directions_with(rows, torch.tensor([0, 1, 1, 2, 0]))
    assert torch.equal(found[[0, 2, 3]], made.directions()[[0, 2, 3]])
    np.testing.assert_allclose(found[1].numpy(), mean_direction(rows[[1, 2]]))


def test_no_gradient_passes_through_sums() -> None:
    assert not class_sums(embeddings().requires_grad_(), LABELS, 4).requires_grad


def test_centres_are_kept_with_the_state() -> None:
    made, other = centres(), centres()
    made.look(Answer(embeddings()), question(0.0))
    other.load_state_dict(made.state_dict())
    assert torch.equal(other.directions(), made.directions())


def test_a_teacher_of_another_width_is_refused() -> None:
    with pytest.raises(ModelError, match="loss some: the teacher's embeddings are of 2 values and the centres of 3"):
        centres().look(Answer(embeddings()[:, :2]), question(0.0))


def test_cosines_are_exact_under_autocast_and_0_with_a_zero_row() -> None:
    rows = embeddings().float()
    rows[1] = 0
    with torch.autocast("cpu", torch.bfloat16):
        found = cosines(rows, rows)
    expected = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2)
    torch.testing.assert_close(found, expected)
