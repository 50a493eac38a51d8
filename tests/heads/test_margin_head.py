from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from facekd.heads import create_head
from facekd.heads.margin_head import cosines


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_a_class_is_as_near_as_its_nearest_centre() -> None:
    embeddings, centres = drawn(5, 8), drawn(4 * 3, 8)
    angles = functional.normalize(embeddings.double()) @ functional.normalize(centres.double()).T
    truth = torch.stack([angles[:, 3 * k : 3 * k + 3].amax(1) for k in range(4)], 1)
    torch.testing.assert_close(cosines(embeddings, centres, 3).double(), truth, rtol=0, atol=1e-6)


@pytest.mark.parametrize("each", [1, 2])
def test_a_shard_of_the_centres_gives_its_columns(each: int) -> None:
    embeddings, centres = drawn(8, 16), drawn(6 * each, 16)
    shards = [cosines(embeddings, centres[: 2 * each], each), cosines(embeddings, centres[2 * each :], each)]
    torch.testing.assert_close(torch.cat(shards, 1), cosines(embeddings, centres, each))


def test_only_the_nearest_centre_of_a_class_moves() -> None:
    embeddings, centres = drawn(1, 8), drawn(4 * 3, 8).requires_grad_()
    cosines(embeddings, centres, 3).sum().backward()  # type: ignore[no-untyped-call]
    assert centres.grad is not None
    nearest = (functional.normalize(embeddings) @ functional.normalize(centres).T).reshape(4, 3).argmax(1)
    moved = (centres.grad.reshape(4, 3, 8).abs().sum(2) > 0).tolist()
    assert moved == [[k == one for k in range(3)] for one in nearest.tolist()]


def test_equal_centres_of_a_class_are_the_plain_head() -> None:
    plain, several = create_head("arcface", 8, 4), create_head("arcface", 8, 4, centres=3)
    several.load_state_dict({"weight": plain.state_dict()["weight"].repeat_interleave(3, 0)})
    embeddings, labels = drawn(5, 8), torch.tensor([0, 1, 2, 3, 0])
    torch.testing.assert_close(several(embeddings, labels), plain(embeddings, labels))


def test_a_plain_head_keeps_the_state_of_runs_before_there_were_options() -> None:
    head = create_head("cosface", 8, 4)
    assert {key: tuple(value.shape) for key, value in head.state_dict().items()} == {"weight": (4, 8)}
