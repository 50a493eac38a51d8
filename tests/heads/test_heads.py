"""Every margin head against its equations in float64, and properties that all of them have."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.config import HeadRecipe
from facekd.errors import ModelError
from facekd.heads import HEADS, create_head
from facekd.heads.margin_head import MarginHead, class_cosines, embedding_norms
from facekd.heads.partial_fc import PartialFCHead

Reals = NDArray[np.float64]
CASES: dict[str, dict[str, Any]] = {
    "adaface": {"rate": 1.0}, "arcface": {}, "combined": {"margins": (0.9, 0.4, 0.15)}, "cosface": {},
    "curricularface": {"rate": 0.5}, "magface": {},
}
"""Options with which a single batch changes the statistics; other tests cover the papers' defaults."""


def make_head(name: str, sub_centers: int = 1, **options: Any) -> MarginHead:
    head = create_head(name, 16, 6, sub_centers=sub_centers, options={**CASES[name], **options})
    assert isinstance(head, MarginHead)
    generator = torch.Generator().manual_seed(1)
    head.weight.data.copy_(torch.randn(head.weight.shape, generator=generator))
    return head


def batch(head: MarginHead, count: int = 12) -> tuple[Tensor, Tensor]:
    """Return embeddings of lengths 3 to 130 and their labels; one is near its center, one near the opposite."""
    generator = torch.Generator().manual_seed(0)
    embeddings, labels = torch.randn(count, 16, generator=generator).to(head.weight.dtype), torch.arange(count) % 6
    centers = head.weight.detach()[labels * head.sub_centers]
    embeddings[1] = 0.02 * embeddings[1] - centers[1]
    embeddings[2] = 0.02 * embeddings[2] + centers[2]
    lengths = torch.linspace(3, 130, count)[torch.randperm(count, generator=generator)]
    return torch.nn.functional.normalize(embeddings) * lengths[:, None], labels


def shifted_cosine(theta: float, margin: float) -> float:
    """Return cos(theta + m), continued as a line beyond pi, and as 1 below 0."""
    if theta + margin > math.pi:
        return math.cos(theta) + math.cos(margin) - 1
    return math.cos(max(0.0, theta + margin))


def expected_target(name: str, theta: float, length: float, lengths: Reals) -> float:
    if name == "arcface":
        return shifted_cosine(theta, 0.5)
    if name == "cosface":
        return math.cos(theta) - 0.35
    if name == "curricularface":
        return shifted_cosine(theta, 0.5)
    if name == "combined":
        angle, seam = 0.9 * theta + 0.4, (math.pi - 0.4) / 0.9
        return (math.cos(angle) if angle <= math.pi else math.cos(theta) - math.cos(seam) - 1) - 0.15
    if name == "magface":
        return shifted_cosine(theta, 0.45 + (0.8 - 0.45) * (min(max(length, 10), 110) - 10) / (110 - 10))
    quality = min(1.0, max(-1.0, float((length - lengths.mean()) / (lengths.std(ddof=1) / 0.333))))
    return shifted_cosine(theta, -0.4 * quality) - (0.4 * quality + 0.4)


def expected_logits(name: str, head: MarginHead, embeddings: Tensor, labels: Tensor) -> Reals:
    """Return the logits of the papers' formulas, one sample and one class at a time, in float64."""
    e, w = embeddings.double().numpy(), head.weight.detach().double().numpy()
    lengths = np.sqrt((e**2).sum(1))
    cos = (e @ w.T) / np.outer(lengths, np.sqrt((w**2).sum(1)))
    cos = np.clip(cos.reshape(len(e), 6, head.sub_centers).max(2), -1, 1)
    t = 0.5 * cos[np.arange(len(e)), labels.numpy()].mean()
    logits = cos.copy()
    for row, label in enumerate(labels.tolist()):
        target = expected_target(name, math.acos(cos[row, label]), lengths[row], lengths)
        for other in range(6):
            c = cos[row, other]
            if name == "curricularface" and c > target:
                logits[row, other] = c * (t + c)
        logits[row, label] = target
    return np.asarray(64 * logits)


@pytest.mark.parametrize("sub_centers", [1, 3])
@pytest.mark.parametrize("name", sorted(HEADS))
def test_logits_are_those_of_the_paper(name: str, sub_centers: int) -> None:
    head = make_head(name, sub_centers)
    embeddings, labels = batch(head)
    logits = head(embeddings, labels)
    assert logits.dtype == torch.float32 and logits.shape == (12, 6)
    expected = expected_logits(name, head, embeddings, labels)
    np.testing.assert_allclose(logits.detach().numpy(), expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", sorted(set(HEADS) - {"magface"}))
def test_the_loss_is_the_mean_cross_entropy(name: str) -> None:
    head = make_head(name)
    embeddings, labels = batch(head)
    logits = expected_logits(name, head, embeddings, labels)
    truth = (np.log(np.exp(logits).sum(1)) - logits[np.arange(12), labels.numpy()]).mean()
    assert float(head.loss(embeddings, labels).detach()) == pytest.approx(truth, rel=1e-5)


@pytest.mark.parametrize("sub_centers", [1, 2])
@pytest.mark.parametrize("name", sorted(HEADS))
def test_gradcheck_of_the_whole_head_in_float64(name: str, sub_centers: int) -> None:
    head = make_head(name, sub_centers)
    embeddings, labels = batch(head)
    head(embeddings, labels)
    head.double().eval()  # in evaluation mode the statistics are constant
    keep = torch.tensor([0, 1, 3, 4, 5, 6])  # row 2 is so near its center that AdaFace's margin is at its border

    def logits(e: Tensor, w: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(head, {"weight": w}, (e, labels[keep]))
        return out

    leaves = (embeddings[keep].double().requires_grad_(), head.weight.detach().clone().requires_grad_())
    # For AdaFace the length is a constant, but not for a numerical derivative; test_adaface.py covers that.
    inputs = leaves if name != "adaface" else (leaves[0].detach(), leaves[1])
    assert torch.autograd.gradcheck(logits, inputs)


@pytest.mark.parametrize("name", sorted(HEADS))
@pytest.mark.parametrize("case", ["zero embedding", "zero center", "on the center", "opposite", "tiny", "huge"])
def test_values_and_gradients_are_finite(name: str, case: str) -> None:
    head = make_head(name)
    embeddings, labels = batch(head)
    target_centers = head.weight.detach()[labels]
    changed = {"zero embedding": embeddings * 0, "zero center": embeddings, "on the center": target_centers,
               "opposite": -target_centers, "tiny": embeddings * 1e-30, "huge": embeddings * 1e15}
    if case == "zero center":
        head.weight.data.zero_()
    leaf = changed[case].clone().requires_grad_()
    logits = head(leaf, labels)
    gradients = torch.autograd.grad(head.loss(leaf, labels), (leaf, head.weight))
    assert float(logits.detach().abs().max()) <= 64 * 2  # NaN fails this too
    assert all(float(gradient.abs().max()) < 1e5 for gradient in gradients)
    assert all(bool(value.isfinite().all()) for value in head.state_dict().values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("sub_centers", [1, 2])
@pytest.mark.parametrize("name", sorted(HEADS))
def test_autocast_reaches_neither_cosines_nor_the_loss(name: str, sub_centers: int, dtype: torch.dtype) -> None:
    inside, outside = make_head(name, sub_centers), make_head(name, sub_centers)
    embeddings, labels = batch(inside)
    low = embeddings.to(dtype)
    with torch.autocast("cpu", dtype):
        logits, loss = inside(low, labels), inside.loss(low, labels)
    assert logits.dtype == loss.dtype == torch.float32
    assert torch.equal(logits, outside(low.float(), labels))
    assert torch.equal(loss, outside.loss(low.float(), labels))


@pytest.mark.parametrize("name", sorted(HEADS))
def test_a_process_that_holds_some_classes_gives_their_columns(name: str) -> None:
    head, fresh = make_head(name, sub_centers=2).double(), make_head(name).double()
    embeddings, labels = batch(head)
    all_columns = head(embeddings, labels)
    target, logits = torch.full((12,), torch.nan, dtype=torch.float64), []
    shards = [(0, 2), (2, 5), (5, 6)]
    blocks = [class_cosines(embeddings, head.weight[2 * first : 2 * last], 2) for first, last in shards]
    columns = [torch.where((labels >= first) & (labels < last), labels - first, -1) for first, last in shards]
    for block, column in zip(blocks, columns, strict=True):
        target = torch.where(column >= 0, block.gather(1, column.clamp(min=0)[:, None])[:, 0], target)
    fresh.margin.update_statistics(target, embedding_norms(embeddings))
    for block, column in zip(blocks, columns, strict=True):
        logits.append(64 * fresh.margin.logits(block, column, target, embedding_norms(embeddings)))
    torch.testing.assert_close(torch.cat(logits, 1), all_columns, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", sorted(HEADS))
def test_statistics_move_in_training_alone_and_come_back_from_a_state(name: str) -> None:
    head = make_head(name)
    embeddings, labels = batch(head)
    assert ("weight", (6, 16)) in [(key, tuple(value.shape)) for key, value in head.state_dict().items()]
    fresh = {key: value.clone() for key, value in head.state_dict().items()}
    head.eval()
    head(embeddings, labels)
    assert all(torch.equal(value, fresh[key]) for key, value in head.state_dict().items())
    head.train()
    head(embeddings, labels)
    changed = {key for key, value in head.state_dict().items() if not torch.equal(value, fresh[key])}
    statistics = {"adaface": {"margin.mean", "margin.deviation"}, "curricularface": {"margin.t"}}
    assert changed == statistics.get(name, set())
    assert head.state_dict().keys() == changed | {"weight"}
    file = io.BytesIO()
    torch.save(head.state_dict(), file)
    file.seek(0)
    other = make_head(name)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other.eval()(embeddings, labels), head.eval()(embeddings, labels))


@pytest.mark.parametrize("name", sorted(HEADS))
def test_the_recipe_has_what_a_head_is_made_of(name: str) -> None:
    recipe = HeadRecipe(name=name, scale=30, sub_centers=3, options=CASES[name])
    head = create_head(outputs=16, classes=6, **dict(recipe))
    assert isinstance(head, MarginHead)
    assert (head.scale, head.sub_centers, tuple(head.weight.shape)) == (30, 3, (18, 16))


def test_a_rate_below_one_samples_classes_by_the_seed() -> None:
    head = create_head("arcface", 16, 6, sample_rate=0.5, seed=5)
    assert isinstance(head, PartialFCHead) and (head.sample_rate, head.seed) == (0.5, 5)


@pytest.mark.parametrize(("name", "values", "text"), [
    ("adaface", {"options": {"h": 1}}, "adaface: unknown option 'h'; its options are: concentration, margin, rate"),
    ("magface", {"margin": 0.5}, "head magface: unknown option 'margin'; its options are: margins, norms, weight"),
    ("magface", {"options": {"norms": [5, 4]}}, r"norms must be two rising lengths above 0, not \[5.0, 4.0\]"),
    ("magface", {"options": {"norms": [0, 4]}}, "norms must be two rising lengths"),
    ("magface", {"options": {"margins": [0.5, 0.4]}}, "margins must not fall"),
    ("magface", {"options": {"margins": [0.5, 1.6]}}, r"margin must be in \[0, pi/2\), not 1.6"),
    ("combined", {"options": {"margins": [1, 2]}}, r"must be 3 values like \[1.0, 0.3, 0.2\]"),
    ("combined", {"options": {"margins": [0, 0.3, 0.2]}}, "must be above 0, not 0.0"),
    ("curricularface", {"options": {"rate": 0}}, "rate must be above 0 and at most 1, not 0.0"),
    ("adaface", {"options": {"rate": 1.5}}, "rate must be above 0 and at most 1, not 1.5"),
    ("arcface", {"sub_centers": 0}, "sub_centers must be at least 1"),
    ("arcface", {"margin": 0.3, "options": {"margin": 0.4}}, "margin is given twice"),
    ("softmax", {"outputs": 6, "sub_centers": 3}, "softmax has no class centers and no options"),
    ("softmax", {"outputs": 6, "options": {"rate": 1}}, "softmax has no class centers and no options"),
    ("softmax", {"outputs": 6, "sample_rate": 0.5}, "softmax has no class centers and no options"),
    ("adface", {}, "unknown head 'adface': did you mean 'adaface'"),
])
def test_what_cannot_be_used_is_refused_in_words(name: str, values: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        create_head(name, **{"outputs": 16, "classes": 6, **values})
