from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.relations.crd import CRD, sample_images
from facekd.types import BatchContext, DatasetSize, ModelOutput

SIZE = DatasetSize(20, 3)
CONTEXT = BatchContext(torch.tensor([0, 1, 2, 0]), torch.tensor([4, 0, 7, 11]), 0.25)


def make_output(columns: int, seed: int, count: int = 4) -> ModelOutput:
    return ModelOutput(torch.randn(count, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


STUDENT, TEACHER = make_output(6, 1), make_output(9, 2)


def make(**options: float) -> CRD:
    torch.manual_seed(3)
    loss = create_loss("crd", STUDENT, TEACHER, SIZE, **options)
    assert isinstance(loss, CRD)
    return loss


def embed(loss: CRD, network: str) -> np.ndarray:
    state = {key: value.numpy() for key, value in loss.state_dict().items()}
    rows = {"student": STUDENT, "teacher": TEACHER}[network].outputs.numpy()
    rows = rows @ state[f"{network}.weight"].T + state[f"{network}.bias"]
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def truth(loss: CRD, context: BatchContext) -> float:
    """Image by image, with probabilities instead of logits, as the paper writes it."""
    images, tau = SIZE.images, loss.temperature
    draws = sample_images(loss.count, images, context.progress).tolist()
    classes, total = loss.classes.tolist(), 0.0
    for side, (network, bank) in enumerate((("student", loss.teacher_bank.numpy()),
                                          ("teacher", loss.student_bank.numpy()))):
        anchors = embed(loss, network)
        z = images * np.mean([np.exp(a @ bank[j] / tau) for a in anchors for j in draws])
        if loss.log_z[side].isfinite():
            z = float(loss.log_z[side].exp())
        for a, i, label in zip(anchors, context.index.tolist(), context.labels.tolist(), strict=True):
            others = [j for j in draws if j != i and classes[j] != label]
            noise = len(others) / images
            chance = {j: np.exp(a @ bank[j] / tau) / z for j in {i, *others}}
            total -= np.log(chance[i] / (chance[i] + noise))
            total -= sum(np.log(noise / (chance[j] + noise)) for j in others)
    return float(total / len(context.index))


def test_the_first_batch_is_the_papers_sum() -> None:
    loss = make()
    exact = truth(loss, CONTEXT)
    assert float(loss(STUDENT, TEACHER, CONTEXT).detach()) == pytest.approx(exact, rel=1e-9)


def test_a_later_batch_keeps_z_and_leaves_out_known_images_of_the_same_class() -> None:
    loss = make()
    loss(STUDENT, TEACHER, CONTEXT)
    later = BatchContext(torch.tensor([0, 0, 2, 1]), torch.tensor([1, 4, 3, 19]), 0.5)
    exact = truth(loss, later)
    assert {4, 11} & set(sample_images(20, 20, 0.5).tolist())  # known to be of class 0
    assert float(loss(STUDENT, TEACHER, later).detach()) == pytest.approx(exact, rel=1e-9)


def test_memories_move_to_the_embeddings_at_unit_length_and_no_others_do() -> None:
    loss = make(momentum=0.25)
    before = loss.student_bank.clone(), loss.teacher_bank.clone()
    loss(STUDENT, TEACHER, CONTEXT)
    for old, bank, network in zip(before, (loss.student_bank, loss.teacher_bank), ("student", "teacher"), strict=True):
        mixed = 0.25 * old[CONTEXT.index].numpy() + 0.75 * embed(loss, network)
        expected = old.numpy().copy()
        expected[CONTEXT.index.numpy()] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
        np.testing.assert_allclose(bank.numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("how", ["eval", "no_grad"])
def test_nothing_is_remembered_outside_training(how: str) -> None:
    loss = make().train(how != "eval")
    before = copy.deepcopy(loss.state_dict())
    with torch.set_grad_enabled(how != "no_grad"):
        loss(STUDENT, TEACHER, CONTEXT)
    assert all(torch.equal(value, before[key]) for key, value in loss.state_dict().items())


def test_banks_are_unit_vectors_for_every_image_and_follow_the_global_seed() -> None:
    one, other = make(), make()
    assert one.student_bank.shape == one.teacher_bank.shape == (20, 128)
    torch.testing.assert_close(one.student_bank.norm(dim=1), torch.ones(20, dtype=torch.float64))
    assert torch.equal(one.student_bank, other.student_bank) and torch.equal(one.teacher_bank, other.teacher_bank)
    assert not torch.equal(one.student_bank, one.teacher_bank)


def test_draws_are_a_function_of_the_progress_alone() -> None:
    assert torch.equal(sample_images(50, 1000, 0.5), sample_images(50, 1000, 0.5))
    shares = [step / 1024 for step in range(100)]  # a power of two, whose quotients have few bits
    assert len({tuple(sample_images(50, 1000, progress).tolist()) for progress in shares}) == 100


def test_there_are_never_more_draws_than_images() -> None:
    assert (make().count, make(negatives=7).count) == (20, 7)


def test_the_gradient_is_that_of_differences_for_a_fresh_copy() -> None:
    loss = make(dimension=8)
    for _ in range(2):  # before and after Z is known
        def value(features: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = copy.deepcopy(loss)(ModelOutput(features), TEACHER, CONTEXT)
            return result

        assert torch.autograd.gradcheck(value, STUDENT.outputs.clone().requires_grad_())
        loss(STUDENT, TEACHER, CONTEXT)


def test_a_restored_loss_goes_on_alike() -> None:
    loss, restored = make(), create_loss("crd", STUDENT, TEACHER, SIZE)
    loss(STUDENT, TEACHER, CONTEXT)
    restored.load_state_dict(loss.state_dict())
    assert torch.equal(loss(STUDENT, TEACHER, CONTEXT), restored(STUDENT, TEACHER, CONTEXT))


def test_a_batch_in_which_nothing_is_negative_is_finite() -> None:
    loss = create_loss("crd", make_output(6, 1, 1), make_output(9, 2, 1), DatasetSize(1, 1))
    features = make_output(6, 1, 1).outputs.requires_grad_()
    value = loss(ModelOutput(features), make_output(9, 2, 1), BatchContext(torch.tensor([0]), torch.tensor([0])))
    value.backward()
    assert value.isfinite() and features.grad is not None and features.grad.isfinite().all()


@pytest.mark.parametrize("options", [{"negatives": 0}, {"temperature": 0}, {"dimension": 0}, {"momentum": 1.5}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ModelError, match=f"loss crd: .*{next(iter(options))}"):
        make(**options)


@pytest.mark.parametrize(("student", "teacher", "index", "text"), [
    (make_output(7, 1), TEACHER, 0, "the student's features have 7 values, but the loss was created for 6"),
    (STUDENT, make_output(7, 1), 0, "the teacher's features have 7 values, but the loss was created for 9"),
    (STUDENT, make_output(9, 1, 3), 0, "features are of 4 images and the teacher's of 3"),
    (STUDENT, TEACHER, 20, "image 23 of a set of 20"),
])
def test_what_it_was_not_made_for_is_refused(student: ModelOutput, teacher: ModelOutput, index: int, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        make()(student, teacher, BatchContext(CONTEXT.labels, torch.arange(4) + index))
