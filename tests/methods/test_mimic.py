from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facekd.config import HeadRecipe, MachineRecipe, MimicRecipe, ScheduleRecipe
from facekd.data.faceset import open_faces
from facekd.data.loader import Batch, Loader
from facekd.methods.mimic import Mimic
from facekd.models.registry import FaceModel, create
from facekd.route.teacher import Teacher
from facekd.runs import Run
from facekd.training.loop import Trainer
from facekd.training.method import Stage


class Table(Teacher):
    def __init__(self, seed: int) -> None:
        self.dimension = 16
        self.values = torch.randn(48, 16, generator=torch.Generator().manual_seed(seed))

    def embeddings(self, batch: Batch) -> Tensor:
        return self.values[batch.index]


TEACHERS = {0: Table(0), 5: Table(5)}


def student(embedding: int = 16) -> FaceModel:
    torch.manual_seed(0)
    return create("iresnet10", size=32, embedding=embedding, width=0.25)


def make(recipe: MimicRecipe | None = None, embedding: int = 16) -> Mimic:
    return Mimic(student(embedding), recipe or MimicRecipe(), TEACHERS.__getitem__, 16, HeadRecipe(), 8)


@pytest.fixture(scope="module")
def loader(small_faces: Path) -> Loader:
    return Loader(open_faces(small_faces), 32, 4, seed=0)


def pixels(batch: Batch) -> Tensor:
    return batch.images.permute(0, 3, 1, 2).float().sub(127.5).div(127.5)


FORMULAS: list[tuple[MimicRecipe, str, Callable[[Tensor, Tensor], Tensor]]] = [
    (MimicRecipe(), "l2", lambda s, t: 2 - 2 * F.cosine_similarity(s, t).mean()),
    (MimicRecipe(l2=3, normalize=False), "l2", lambda s, t: 3 * 16 * F.mse_loss(s, t)),
    (MimicRecipe(l2=0, cosine=0.5), "cosine", lambda s, t: 0.5 * (1 - F.cosine_similarity(s, t).mean())),
]


@pytest.mark.parametrize(("recipe", "name", "formula"), FORMULAS)
def test_terms_follow_their_formulas(
    loader: Loader, recipe: MimicRecipe, name: str, formula: Callable[[Tensor, Tensor], Tensor]
) -> None:
    batch, method = next(loader.epoch(0)), make(recipe)
    method.begin(Stage(1, 5))
    own = method.student(pixels(batch)).double()
    losses = method.losses(batch)
    assert list(losses) == [name]
    truth = formula(own, TEACHERS[5].values[batch.index].double())
    assert float(losses[name].detach()) == pytest.approx(float(truth.detach()), rel=1e-5)


def test_a_stage_changes_the_anchor(loader: Loader) -> None:
    batch, method = next(loader.epoch(0)), make().eval()
    found = []
    for anchor in (0, 5, 0):
        method.begin(Stage(1, anchor))
        found.append(float(method.losses(batch)["l2"].detach()))
    assert found[0] == found[2] != found[1]


def test_a_stage_without_an_anchor_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="anchor"):
        make().begin(Stage(1))


def test_a_projection_is_there_only_where_sizes_differ() -> None:
    assert [n for n in make().state_dict() if n.startswith("projection")] == []
    assert make(embedding=8).state_dict()["projection.weight"].shape == (16, 8)


def test_one_anchor_is_plain_mimicking_bit_for_bit(loader: Loader, tmp_path: Path) -> None:
    method = make(MimicRecipe(normalize=False))  # unit length would be rounded in another order
    schedule = ScheduleRecipe(batch=4, learning_rate=0.05, warmup=0, shape="constant")
    Trainer(Run(tmp_path), method, [Stage(1.5, 5)], loader, schedule, MachineRecipe(device="cpu", threads=1)).fit()

    plain = student().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = [p for p in plain.parameters() if p.requires_grad]
    groups = [{"params": [p for p in trained if p.ndim > 1], "weight_decay": 5e-4},
              {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9)
    for batch in [*loader.epoch(0), *list(loader.epoch(1))[:6]]:
        optimizer.zero_grad()
        distances: Tensor = (TEACHERS[5].values[batch.index] - plain(pixels(batch))).square().sum(dim=1)
        distances.mean().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 5.0)
        optimizer.step()
    truth = plain.state_dict()
    assert [n for n, value in method.student.state_dict().items() if not torch.equal(value, truth[n])] == []
