from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from facekd.heads import create_head
from facekd.heads.margin_head import class_cosines, cosine_matrix


def random_rows(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_cosines_are_exact_under_autocast_and_0_with_a_zero_row() -> None:
    rows = random_rows(5, 3)
    rows[1] = 0
    with torch.autocast("cpu", torch.bfloat16):
        result = cosine_matrix(rows, rows)
    expected = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2)
    torch.testing.assert_close(result, expected)


def test_a_class_is_as_near_as_its_nearest_center() -> None:
    embeddings, centers = random_rows(5, 8), random_rows(4 * 3, 8)
    angles = functional.normalize(embeddings.double()) @ functional.normalize(centers.double()).T
    truth = torch.stack([angles[:, 3 * k : 3 * k + 3].amax(1) for k in range(4)], 1)
    torch.testing.assert_close(class_cosines(embeddings, centers, 3).double(), truth, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sub_centers", [1, 2])
def test_a_shard_of_the_centers_gives_its_columns(sub_centers: int) -> None:
    embeddings, centers = random_rows(8, 16), random_rows(6 * sub_centers, 16)
    parts = centers.split([2 * sub_centers, 4 * sub_centers])
    shards = [class_cosines(embeddings, rows, sub_centers) for rows in parts]
    torch.testing.assert_close(torch.cat(shards, 1), class_cosines(embeddings, centers, sub_centers))


def test_only_the_nearest_center_of_a_class_moves() -> None:
    embeddings, centers = random_rows(1, 8), random_rows(4 * 3, 8).requires_grad_()
    class_cosines(embeddings, centers, 3).sum().backward()  # type: ignore[no-untyped-call]
    assert centers.grad is not None
    nearest = (functional.normalize(embeddings) @ functional.normalize(centers).T).reshape(4, 3).argmax(1)
    moved = (centers.grad.reshape(4, 3, 8).abs().sum(2) > 0).tolist()
    assert moved == [[k == one for k in range(3)] for one in nearest.tolist()]


def test_equal_centers_of_a_class_are_the_plain_head() -> None:
    plain, three_centers = create_head("arcface", 8, 4), create_head("arcface", 8, 4, sub_centers=3)
    three_centers.load_state_dict({"weight": plain.state_dict()["weight"].repeat_interleave(3, 0)})
    embeddings, labels = random_rows(5, 8), torch.tensor([0, 1, 2, 3, 0])
    torch.testing.assert_close(three_centers(embeddings, labels), plain(embeddings, labels))


def test_a_plain_head_has_its_weight_as_its_only_state() -> None:
    head = create_head("cosface", 8, 4)
    assert {key: tuple(value.shape) for key, value in head.state_dict().items()} == {"weight": (4, 8)}
