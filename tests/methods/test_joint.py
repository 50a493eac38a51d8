from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facekd.config import HeadRecipe, LossRecipe, MachineRecipe, PartnerRecipe, ScheduleRecipe
from facekd.data.loading.loader import Batch
from facekd.methods.joint import Together
from facekd.methods.objective import mixture
from facekd.models.registry import Network, create
from facekd.run import Run
from facekd.training.method import Stage
from facekd.training.optimizers import create_optimizer
from facekd.training.trainer import Trainer
from tests.methods.noise import noise

LOADER = noise()
FACES, SOFTMAX = HeadRecipe(scale=16, margin=0.3), HeadRecipe(name="softmax")
BATCHES = list(LOADER.epoch(0))
Float64 = NDArray[np.float64]


def network(seed: int, outputs: int) -> Network:
    """Small, its batch norms as if it had seen other images than these."""
    torch.manual_seed(seed)
    made = create("resnet8", size=32, outputs=outputs, width=0.5)
    for name, buffer in made.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
    return made


def together(method: str = "prokt", head: HeadRecipe = SOFTMAX, losses: Mapping[str, Any] | None = None,
             outputs: tuple[int, int] = (8, 8), **partner: Any) -> Together:
    """A student and a teacher with weights of their own; of faces, embeddings have ``outputs`` numbers."""
    mixed = mixture(method, {name: LossRecipe.model_validate(v) for name, v in (losses or {}).items()}, head.closed)
    recipe = PartnerRecipe(**{"uniform": False, **partner}).settled(method.partition(" ")[0])
    made = Together(network(1, outputs[0]), network(2, outputs[1]), mixed, recipe, head, LOADER)
    made.begin(Stage(1, (0,)))
    return made


def outputs(network: nn.Module, batch: Batch) -> Float64:
    """What a float64 copy in training says; the network itself is not touched."""
    copy = deepcopy(network).double().train()
    pixels = batch.images.permute(0, 3, 1, 2).double().sub(127.5).div(127.5)
    return np.asarray(copy(pixels).detach().numpy())


def log_softmax(logits: Float64) -> Float64:
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)))


def entropy(logits: Float64, batch: Batch) -> float:
    """Cross entropy with the labels."""
    return float(-log_softmax(logits)[np.arange(len(logits)), batch.labels.numpy()].mean())


def kl(first: Float64, second: Float64) -> float:
    """KL(softmax(first) || softmax(second)): the sum over classes, the mean over the batch."""
    p, q = log_softmax(first), log_softmax(second)
    return float((np.exp(p) * (p - q)).sum(1).mean())


def apart(first: Float64, second: Float64) -> float:
    """The mean of 1 - cos."""
    products = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    return float((1 - products).mean())


def arcface(embeddings: Float64, centres: Float64, batch: Batch) -> float:
    cosines = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
               @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T)
    own = np.arange(len(embeddings)), batch.labels.numpy()
    cosines[own] = np.cos(np.arccos(cosines[own]) + 0.3)
    return entropy(16 * cosines, batch)


def values(terms: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float(term.detach()) for name, term in terms.items()}


def backward(terms: Mapping[str, Tensor]) -> None:
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]


def float64(values: Tensor) -> Float64:
    return np.asarray(values.detach().double().numpy())


@pytest.mark.parametrize("pull", [0.0, 0.3, 0.4, 1.0])
def test_prokts_teacher_is_drawn_to_the_student(pull: float) -> None:
    method, batch = together(pull=pull), BATCHES[0]
    there, here = outputs(method.student, batch), outputs(method.partner, batch)
    assert kl(there, here) > 0.01 and abs(kl(there, here) - kl(here, there)) > 1e-4
    found = values(method.turns(batch, 0.0)[0]())
    assert found == {"teacher.labels": pytest.approx((1 - pull) * entropy(here, batch), rel=1e-4),
                     "teacher.pull": pytest.approx(pull * kl(there, here), rel=1e-4)}


def test_prokts_student_follows_the_teacher_as_its_step_left_it_and_sees_no_labels() -> None:
    method, batch = together(), BATCHES[0]
    first, second = method.turns(batch, 0.0)
    backward(first())
    torch.optim.SGD(method.partner.parameters(), lr=0.5).step()
    now, own = outputs(method.partner, batch), outputs(method.student, batch)
    assert values(second()) == {"kd": pytest.approx(kl(now, own), rel=1e-4)}


def train(method: Together, folder: Path, batches: int, **schedule: Any) -> list[dict[str, Any]]:
    recipe = ScheduleRecipe(epochs=batches / 6, batch=8, learning_rate=0.5, warmup=0, shape="constant", **schedule)
    folder.mkdir(exist_ok=True)
    machine = MachineRecipe(device="cpu", threads=1)
    Trainer(Run(folder), method, lambda number: Stage(batches / 6, (0,)), LOADER, recipe, machine).fit()
    return Run(folder).read_log()


def test_a_batch_of_prokt_in_the_loop_is_the_one_written_out(tmp_path: Path) -> None:
    method, batch = together(pace=0.5), BATCHES[0]
    there, here = outputs(method.student, batch), outputs(method.partner, batch)
    partner, student = deepcopy(method.partner).double(), outputs(method.student, batch)
    own = partner.train()(batch.images.permute(0, 3, 1, 2).double().sub(127.5).div(127.5))
    own_log, target = own.log_softmax(1), torch.from_numpy(there).log_softmax(1)
    drawn = (target.exp() * (target - own_log)).sum(1).mean()
    backward({"": 0.7 * -own_log[range(8), batch.labels].mean() + 0.3 * drawn})
    with torch.no_grad():
        for weight in partner.parameters():
            assert weight.grad is not None
            weight.sub_(0.5 * 0.5 * (weight.grad + (0.01 * weight if weight.ndim > 1 else 0)))
    (line,) = train(method, tmp_path / "run", 1, weight_decay=0.01, clip=1e9)
    assert line["teacher.labels"] == pytest.approx(0.7 * entropy(here, batch), rel=1e-4)
    assert line["teacher.pull"] == pytest.approx(0.3 * kl(there, here), rel=1e-4)
    assert line["kd"] == pytest.approx(kl(outputs(partner, batch), student), rel=1e-3)
    assert line["loss"] == line["kd"]  # what the student's step minimised


@pytest.mark.parametrize("sizes", [(16, 16), (8, 16)])
def test_a_teacher_of_faces_is_drawn_by_the_cosine(sizes: tuple[int, int]) -> None:
    method, batch = together(head=FACES, outputs=sizes), BATCHES[1]
    there, here = outputs(method.student, batch), outputs(method.partner, batch)
    if sizes == (8, 16):
        there = there @ float64(method.state_dict()["projection.weight"]).T
    first, second = method.turns(batch, 0.0)
    assert values(first()) == {
        "teacher.labels": pytest.approx(arcface(here, float64(method.state_dict()["partner_head.weight"]), batch),
                                        rel=1e-4),
        "teacher.pull": pytest.approx(0.3 * apart(there, here), rel=1e-4)}
    after, own = outputs(method.partner, batch), outputs(method.student, batch)
    if sizes == (8, 16):
        own = own @ float64(method.state_dict()["projection.weight"]).T
    assert values(second()) == {"cosine": pytest.approx(80 * apart(own, after), rel=1e-4)}


@pytest.mark.parametrize("head", [FACES, SOFTMAX], ids=["faces", "classes"])
@pytest.mark.parametrize("how", ["prokt", "dml", "prokt, dual"])
def test_a_turns_gradient_reaches_only_whose_turn_it_is(how: str, head: HeadRecipe) -> None:
    name, _, mode = how.partition(", ")
    method = together(name, head, mode=mode or "penalty")
    reached = []
    for turn in method.turns(BATCHES[0], 0.0):
        method.zero_grad(set_to_none=True)
        backward(turn())
        reached.append({n.partition(".")[0] for n, p in method.named_parameters() if p.grad is not None})
    heads = ({"partner_head"}, {"head"} if name == "dml" else set()) if head is FACES else (set(), set())
    assert reached == [{"partner"} | heads[0], {"student"} | heads[1]]


@pytest.mark.parametrize("how", ["prokt", "dml"])
def test_a_batch_is_counted_once_in_the_statistics_of_either(how: str) -> None:
    method = together(how)
    for turn in method.turns(BATCHES[0], 0.0):
        turn()
    tracked = {int(v) for name, v in method.state_dict().items() if name.endswith("num_batches_tracked")}
    assert tracked == {1}


@pytest.mark.parametrize(("slack", "step"), [(0.01, 0.5), (2.0, 0.4)])
def test_in_dual_mode_the_pull_follows_its_rule(slack: float, step: float) -> None:
    method, beta = together(mode="dual", slack=slack, step=step), 1.0
    betas = []
    for batch in BATCHES[:3]:
        there, here = outputs(method.student, batch), outputs(method.partner, batch)
        found = values(method.turns(batch, 0.0)[0]())
        assert found == {"teacher.labels": pytest.approx(entropy(here, batch), rel=1e-4),
                         "teacher.pull": pytest.approx(beta * (kl(there, here) - slack), rel=1e-3, abs=1e-6)}
        beta = max(0.0, beta + step * (kl(there, here) - slack))
        assert float(method.state_dict()["beta"]) == pytest.approx(beta, rel=1e-4, abs=1e-7)
        betas.append(beta)
    assert betas == sorted(betas) if slack < 1 else betas[-1] == 0  # distances here are between the two slacks


def test_in_dual_mode_the_gradient_is_that_of_the_pull_before_it_moved() -> None:
    method, batch = together(mode="dual", slack=0.0, step=5.0), BATCHES[0]
    method.beta.fill_(0.0)
    backward({"pull": method.turns(batch, 0.0)[0]()["teacher.pull"]})
    assert {float(p.grad.abs().max()) for p in method.partner.parameters() if p.grad is not None} == {0.0}
    assert float(method.beta) > 0


def test_a_uniform_start_is_one_of_equal_probabilities_and_no_distance() -> None:
    method, batch = together(uniform=True, fresh=True), BATCHES[0]
    for one in (method.student, method.partner):
        assert {*outputs(one, batch).flatten()} == {0.0}
    turns = [values(turn()) for turn in method.turns(batch, 0.0)]
    assert turns == [{"teacher.labels": pytest.approx(0.7 * np.log(8)), "teacher.pull": 0.0}, {"kd": 0.0}]


@pytest.mark.parametrize(("how", "head", "partner"), [
    ("prokt", SOFTMAX, {"uniform": False, "fresh": True}), ("prokt", SOFTMAX, {"uniform": True}),
    ("prokt", FACES, {"uniform": True, "fresh": True}), ("dml", SOFTMAX, {"uniform": True})])
def test_elsewhere_last_layers_are_left_as_they_are(how: str, head: HeadRecipe, partner: dict[str, Any]) -> None:
    method = together(how, head, **partner)
    for one, seed in ((method.student, 1), (method.partner, 2)):
        truth = network(seed, 8).state_dict()
        assert all(torch.equal(value, truth[name]) for name, value in one.state_dict().items())


def test_pace_is_a_factor_on_the_teachers_learning_rate(tmp_path: Path) -> None:
    moved = []
    for pace in (1.0, 0.25):
        method = together(head=FACES, pace=pace)
        before = deepcopy(method.state_dict())
        train(method, tmp_path / str(pace), 1, clip=1e9)
        moved.append({name: value - before[name] for name, value in method.state_dict().items()
                      if name.startswith("partner") and not name.endswith(("mean", "var", "tracked"))})
    assert any(name.startswith("partner_head") for name in moved[0])
    for name, value in moved[0].items():
        assert float(value.abs().max()) > 0
        torch.testing.assert_close(moved[1][name], 0.25 * value, rtol=1e-2, atol=2e-7)


def test_pace_leaves_the_students_learning_rate_alone() -> None:
    method = together(pace=0.25)
    optimizer = create_optimizer(method, ScheduleRecipe(), torch.device("cpu"))
    paces = {id(p): group["pace"] for group in optimizer.param_groups for p in group["params"]}
    assert {paces[id(p)] for p in method.student.parameters()} == {1.0}
    assert {paces[id(p)] for p in method.partner.parameters()} == {0.25}


@pytest.mark.parametrize(("method", "given", "fresh", "pace"), [
    ("prokt", {}, False, 0.3), ("prokt", {"fresh": True}, True, 1.0), ("prokt", {"pace": 0.03}, False, 0.03),
    ("dml", {}, True, 1.0), ("dml", {"fresh": False}, False, 0.3)])
def test_what_the_recipe_leaves_open_is_settled_by_the_method(method: str, given: dict[str, Any], fresh: bool,
                                                              pace: float) -> None:
    settled = PartnerRecipe(**given).settled(method)
    assert (settled.fresh, settled.pace) == (fresh, pace)


def dml_by_hand(own: Float64, other: Float64, batch: Batch) -> float:
    """CE + KL(p_other || p_own), as the benchmark of methods has it."""
    return entropy(own, batch) + kl(other, own)


def test_dml_follows_its_formula() -> None:
    method, batch = together("dml"), BATCHES[0]
    student, teacher = outputs(method.student, batch), outputs(method.partner, batch)
    turns = method.turns(batch, 0.0)
    first = values(turns[0]())
    assert first.keys() == {"teacher.kd", "teacher.labels"}
    assert sum(first.values()) == pytest.approx(dml_by_hand(teacher, student, batch), rel=1e-4)
    later, second = outputs(method.partner, batch), values(turns[1]())
    assert second.keys() == {"kd", "labels"}
    assert sum(second.values()) == pytest.approx(dml_by_hand(student, later, batch), rel=1e-4)


def still(method: Together) -> Together:
    """With batch norms whose statistics no batch moves, so that turns can be compared in any order."""
    for module in method.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
    return method


@pytest.mark.parametrize(("how", "head"), [
    ("dml", SOFTMAX), ("dml + rkd", SOFTMAX), ("dml", FACES), ("dml + rkd + at", FACES)],
    ids=["classes", "classes and rkd", "faces", "faces, rkd and at"])
def test_dml_is_the_same_with_the_roles_exchanged(how: str, head: HeadRecipe) -> None:
    one, other, batch = still(together(how, head)), still(together(how, head)), BATCHES[0]
    other.student.load_state_dict(one.partner.state_dict())
    other.partner.load_state_dict(one.student.state_dict())
    if one.head is not None and other.head is not None:
        other.head.load_state_dict(one.partner_head.state_dict())
        other.partner_head.load_state_dict(one.head.state_dict())
    (teacher, student), (exchanged, turned) = (
        [{name.removeprefix("teacher."): value for name, value in values(turn()).items()}
         for turn in m.turns(batch, 0.5)]
        for m in (one, other))
    assert teacher.keys() == student.keys()
    assert turned == pytest.approx(teacher, rel=1e-5)
    assert exchanged == pytest.approx(student, rel=1e-5)
    assert teacher != pytest.approx(student, rel=1e-3)


PARTS = {"rkd": {"begin": 0.25, "end": 0.75}, "labels": {"weight": 0.5, "begin": 0.5}}


@pytest.mark.parametrize(("done", "expected"), [
    (0.0, {"kd"}), (0.25, {"kd", "rkd"}), (0.5, {"kd", "rkd", "labels"}), (0.75, {"kd", "labels"})])
def test_terms_begin_and_end_on_both_sides_of_dml(done: float, expected: set[str]) -> None:
    teacher, student = together("dml", losses=PARTS).turns(BATCHES[0], done)
    assert (set(student()), set(teacher())) == (expected, {f"teacher.{name}" for name in expected})


def test_weights_count_on_both_sides_of_dml() -> None:
    usual, halved = ([turn() for turn in still(together("dml", losses=losses)).turns(BATCHES[0], 0.6)]
                     for losses in ({}, {"labels": 0.5}))
    for turn, name in enumerate(("teacher.labels", "labels")):
        assert float(halved[turn][name].detach()) == pytest.approx(0.5 * float(usual[turn][name].detach()), rel=1e-5)


def test_terms_of_prokts_student_begin_and_end() -> None:
    method = together("prokt + rkd", losses=PARTS)
    found = [[set(turn()) for turn in method.turns(BATCHES[0], done)] for done in (0.0, 0.3, 0.8)]
    teacher = {"teacher.labels", "teacher.pull"}
    assert found == [[teacher, {"kd"}], [teacher, {"kd", "rkd"}], [teacher, {"kd", "labels"}]]


def test_lessons_are_about_the_other_on_both_sides_of_dml() -> None:
    method = together("dml", FACES, losses={"proxyless-ours": {}})
    labels = torch.from_numpy(LOADER.images.labels)
    order = torch.cat([batch.index for batch in BATCHES]).argsort()
    for part, other in (("distances", method.partner), ("returned", method.student)):
        embeddings = np.concatenate([outputs(other, batch) for batch in BATCHES])[order.numpy()]
        units = torch.from_numpy(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))
        truth = torch.stack([units[labels == person].sum(0) for person in range(8)])
        (sums,) = (v for name, v in method.state_dict().items() if name.startswith(part) and name.endswith("sums"))
        torch.testing.assert_close(sums.double(), truth, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("how", "parts"), [("prokt", {"partner", "partner_head", "beta"}),
                                            ("dml + vid", {"partner", "partner_head", "returned", "head"})])
def test_the_state_holds_all_that_is_trained(how: str, parts: set[str]) -> None:
    one, other = together(how, FACES, mode="dual"), together(how, FACES, mode="dual")
    with torch.no_grad():
        for value in one.state_dict().values():
            value.add_(1)
    other.load_state_dict(one.state_dict())
    assert parts < {name.partition(".")[0] for name in other.state_dict()}
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    trained = {name for name, weight in one.named_parameters() if weight.requires_grad}
    assert trained <= set(one.state_dict())


def test_both_networks_are_laid_out_for_the_machine() -> None:
    method = together()
    assert method.networks == [method.student, method.partner]
