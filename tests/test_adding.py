"""docs/adding.md shows how to add a loss; what it shows is taken from the page and used."""

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

from facekd.api.methods import methods, show_method
from facekd.config import HeadRecipe
from facekd.data.loading.loader import Batch
from facekd.errors import ModelError
from facekd.losses import create_loss, family_of, names, registry
from facekd.methods.distillation import Distillation
from facekd.methods.objective import mixture
from facekd.models.registry import create
from facekd.route.teacher import Teacher
from facekd.training.method import Stage
from facekd.types import Answer, Question, Size
from tests.methods.noise import noise

PAGE = Path(__file__).resolve().parent.parent / "docs" / "adding.md"
QUESTION = Question(torch.zeros(6, dtype=torch.int64), torch.arange(6))
Float64 = NDArray[np.float64]


def shown() -> str:
    """The one block of the page that is a whole module: it begins with a docstring."""
    blocks = re.findall(r'^```python\n(""".*?)^```', PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    return str(blocks[0])


@contextmanager
def added(folder: Path, module: str = "jsd") -> Iterator[None]:
    """The block as a file outside of the package, imported; the registry is put back afterwards."""
    file = folder / "jsd.py"
    file.write_text(shown(), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(module, file)
    assert spec is not None and spec.loader is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_KINDS", dict(registry._KINDS))
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        yield


@pytest.fixture
def jsd(tmp_path: Path) -> Iterator[None]:
    with added(tmp_path):
        yield


class Fixed(Teacher):
    """Logits that were drawn once, one row an image."""

    dimension = 8

    def __init__(self) -> None:
        self.logits = 3 * torch.randn(48, 8, generator=torch.Generator().manual_seed(0))

    def answer(self, batch: Batch) -> Answer:
        return Answer(self.logits[batch.index])


def logits(seed: int) -> torch.Tensor:
    return 3 * torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def entropy(p: Float64) -> Float64:
    return -np.asarray((p * np.log(p)).sum(axis=1))


def softmax(z: Float64) -> Float64:
    raised = np.exp(z)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def test_it_takes_at_most_40_lines() -> None:
    assert len(shown().splitlines()) <= 40


def test_the_registry_knows_it_and_forgets_it_again(tmp_path: Path) -> None:
    before = names()
    with added(tmp_path):
        assert set(names()) - set(before) == {"jsd"}
    assert names() == before


@pytest.mark.parametrize("beta", [0.5, 0.1])
def test_it_is_the_entropy_of_the_mixture_less_the_mean_entropy(jsd: None, beta: float) -> None:
    own, target = logits(1), logits(2)
    s, t = softmax(own.numpy()), softmax(target.numpy())
    expected = (entropy(beta * t + (1 - beta) * s) - beta * entropy(t) - (1 - beta) * entropy(s)).mean()
    loss = create_loss("jsd", Answer(own), Answer(target), Size(6, 5), beta=beta)
    assert float(loss(Answer(own), Answer(target), QUESTION)) == pytest.approx(expected, rel=1e-12)


def test_a_beta_that_leaves_one_side_out_is_refused(jsd: None) -> None:
    with pytest.raises(ModelError, match="beta must be above 0 and below 1"):
        create_loss("jsd", Answer(logits(1)), Answer(logits(2)), Size(6, 5), beta=1.0)


def test_its_family_is_what_it_looks_at_or_its_folder(jsd: None, tmp_path: Path) -> None:
    assert family_of("jsd") == "responses"
    with added(tmp_path, "facekd.losses.relations.jsd"):
        assert family_of("jsd") == "relations"


def test_the_methods_list_and_explain_it(jsd: None) -> None:
    assert [one.needs for one in methods() if one.name == "jsd"] == ["logits"]
    assert "beta=0.5" in show_method("jsd") and "method=jsd" in show_method("jsd")


def test_a_few_steps_with_another_loss_beside_it_lower_the_sum(jsd: None) -> None:
    torch.manual_seed(0)
    teacher, loader = Fixed(), noise()

    def of(points: Sequence[int]) -> Teacher:
        return teacher

    student = create("resnet8", size=32, outputs=8, width=0.5)
    mixed = mixture("jsd + rkd", {}, closed=True)
    method = Distillation(student, mixed, of, teacher.sample(), HeadRecipe(name="softmax"), loader)
    method.begin(Stage(1, (0,)))
    batch = next(loader.epoch(0))
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
