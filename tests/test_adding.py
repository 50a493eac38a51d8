"""The loss that docs/adding.md adds: its code is taken from the page and executed."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from facekd.api.methods import list_methods, show_method
from facekd.config import HeadRecipe
from facekd.data.loading.loader import Batch
from facekd.errors import ModelError
from facekd.losses import create_loss, get_loss_class, list_losses, registered
from facekd.methods.distillation import build_distillation
from facekd.methods.objective import parse_objective
from facekd.models.registry import create
from facekd.route.teacher import Teacher
from facekd.training.method import Stage
from facekd.types import BatchContext, DatasetSize, ModelOutput
from tests.methods.noise import noise_loader

PAGE = Path(__file__).resolve().parent.parent / "docs" / "adding.md"
CONTEXT = BatchContext(torch.zeros(6, dtype=torch.int64), torch.arange(6))
Float64 = NDArray[np.float64]


def example() -> str:
    """The code block of the page that is a module: it begins with a docstring."""
    blocks = re.findall(r'^```python\n(""".*?)^```', PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    return str(blocks[0])


@contextmanager
def added_loss(folder: Path, family: str = "responses") -> Iterator[None]:
    """Import the example from a file outside of the package; restore the registry at the end."""
    file = folder / "jsd.py"
    file.write_text(example().replace('family = "responses"', f'family = "{family}"'), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("jsd", file)
    assert spec is not None and spec.loader is not None
    with registered():
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        yield


@pytest.fixture
def jsd(tmp_path: Path) -> Iterator[None]:
    """The loss of the example is registered."""
    with added_loss(tmp_path):
        yield


class FixedTeacher(Teacher):
    """A teacher with random but fixed logits for each image."""

    dimension = 8

    def __init__(self) -> None:
        self.logits = 3 * torch.randn(48, 8, generator=torch.Generator().manual_seed(0))

    def forward(self, batch: Batch) -> ModelOutput:
        return ModelOutput(self.logits[batch.index])


def logits(seed: int) -> torch.Tensor:
    return 3 * torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def entropy(p: Float64) -> Float64:
    return -np.asarray((p * np.log(p)).sum(axis=1))


def softmax(z: Float64) -> Float64:
    exponentials = np.exp(z)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def test_it_takes_at_most_40_lines() -> None:
    assert len(example().splitlines()) <= 40


def test_the_registry_knows_it_and_forgets_it_again(tmp_path: Path) -> None:
    before = list_losses()
    with added_loss(tmp_path):
        assert set(list_losses()) - set(before) == {"jsd"}
    assert list_losses() == before


@pytest.mark.parametrize("beta", [0.5, 0.1])
def test_it_is_the_entropy_of_the_mixture_less_the_mean_entropy(jsd: None, beta: float) -> None:
    student, teacher = logits(1), logits(2)
    s, t = softmax(student.numpy()), softmax(teacher.numpy())
    expected = (entropy(beta * t + (1 - beta) * s) - beta * entropy(t) - (1 - beta) * entropy(s)).mean()
    loss = create_loss("jsd", ModelOutput(student), ModelOutput(teacher), DatasetSize(6, 5), beta=beta)
    assert float(loss(ModelOutput(student), ModelOutput(teacher), CONTEXT)) == pytest.approx(expected, rel=1e-12)


def test_a_beta_that_leaves_one_side_out_is_refused(jsd: None) -> None:
    with pytest.raises(ModelError, match="beta must be above 0 and below 1"):
        create_loss("jsd", ModelOutput(logits(1)), ModelOutput(logits(2)), DatasetSize(6, 5), beta=1.0)


def test_its_family_is_the_one_that_it_states(jsd: None, tmp_path: Path) -> None:
    assert get_loss_class("jsd").family == "responses"
    with added_loss(tmp_path, family="relations"):
        assert get_loss_class("jsd").family == "relations"


def test_the_methods_list_and_explain_it(jsd: None) -> None:
    assert [entry.needs for entry in list_methods() if entry.name == "jsd"] == ["logits"]
    assert "beta=0.5" in show_method("jsd") and "method=jsd" in show_method("jsd")


def test_a_few_steps_together_with_another_loss_lower_the_sum(jsd: None) -> None:
    torch.manual_seed(0)
    teacher = FixedTeacher()
    loader = noise_loader()

    def teacher_for(points: Sequence[int]) -> Teacher:
        return teacher

    student = create("resnet8", size=32, outputs=8, width=0.5)
    objective = parse_objective("jsd + rkd", {}, closed_set=True)
    head = HeadRecipe(name="softmax")
    method = build_distillation(student, objective, teacher_for, teacher.example_output(), head, loader)
    method.on_stage_start(Stage(1, (0,)))
    batch = next(loader.iter_epoch(0))
    optimizer = torch.optim.SGD(method.parameters(), lr=0.02, momentum=0.9)
    values = []
    for _ in range(10):
        terms = method.losses(batch, 0.0)
        assert set(terms) == {"jsd", "rkd", "labels"}
        optimizer.zero_grad()
        total = torch.stack(list(terms.values())).sum()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(method.parameters(), 5)
        optimizer.step()
        values.append(float(total.detach()))
    assert values[-1] < 0.9 * values[0]
