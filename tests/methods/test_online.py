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

from facekd.config import HeadRecipe, JointTeacherRecipe, LossRecipe, MachineRecipe, TrainingRecipe
from facekd.data.loading.loader import Batch
from facekd.methods.objective import parse_objective
from facekd.methods.online import DML, OnlineDistillation, ProKT, build_online_distillation
from facekd.methods.online_registry import ONLINE_METHODS
from facekd.models.registry import Network, create
from facekd.run import Run
from facekd.training.machine import Machine
from facekd.training.method import Stage
from facekd.training.optimizers import build_optimizer
from facekd.training.trainer import Trainer
from tests.methods.noise import noise_loader

LOADER = noise_loader()
FACES, SOFTMAX = HeadRecipe(scale=16, margin=0.3), HeadRecipe(name="softmax")
BATCHES = list(LOADER.iter_epoch(0))
Float64 = NDArray[np.float64]


def network(seed: int, outputs: int) -> Network:
    """A small network whose batch-norm statistics are those of other images."""
    torch.manual_seed(seed)
    network = create("resnet8", size=32, outputs=outputs, width=0.5)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
    return network


def online(method: str = "prokt", head: HeadRecipe = SOFTMAX, losses: Mapping[str, Any] | None = None,
           outputs: tuple[int, int] = (8, 8), **joint_teacher: Any) -> OnlineDistillation:
    """A student and a teacher with different weights; ``outputs`` are the lengths of their outputs."""
    recipes = {name: LossRecipe.model_validate(value) for name, value in (losses or {}).items()}
    objective = parse_objective(method, recipes, head.closed_set)
    fresh = ONLINE_METHODS[method.partition(" ")[0]].fresh_teacher
    recipe = JointTeacherRecipe(**{"zero_init_classifier": False, **joint_teacher}).with_defaults(fresh)
    online_method = build_online_distillation(network(1, outputs[0]), network(2, outputs[1]), objective, recipe, head,
                                              LOADER)
    online_method.on_stage_start(Stage(1, (0,)))
    return online_method


def outputs(network: nn.Module, batch: Batch) -> Float64:
    """The outputs of a float64 copy in training mode; the network itself is unchanged."""
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


def cosine_distance(first: Float64, second: Float64) -> float:
    """The mean of 1 - cos."""
    products = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    return float((1 - products).mean())


def arcface(embeddings: Float64, centers: Float64, batch: Batch) -> float:
    cosines = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
               @ (centers / np.linalg.norm(centers, axis=1, keepdims=True)).T)
    targets = np.arange(len(embeddings)), batch.labels.numpy()
    cosines[targets] = np.cos(np.arccos(cosines[targets]) + 0.3)
    return entropy(16 * cosines, batch)


def values(terms: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float(term.detach()) for name, term in terms.items()}


def backward(terms: Mapping[str, Tensor]) -> None:
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]


def float64(values: Tensor) -> Float64:
    return np.asarray(values.detach().double().numpy())


@pytest.mark.parametrize("student_weight", [0.0, 0.3, 0.4, 1.0])
def test_prokts_teacher_is_drawn_to_the_student(student_weight: float) -> None:
    method, batch = online(student_weight=student_weight), BATCHES[0]
    student, teacher = outputs(method.student, batch), outputs(method.joint_teacher, batch)
    assert kl(student, teacher) > 0.01 and abs(kl(student, teacher) - kl(teacher, student)) > 1e-4
    terms = values(method.optimizer_passes(batch, 0.0)[0]())
    assert terms == {"teacher.labels": pytest.approx((1 - student_weight) * entropy(teacher, batch), rel=1e-4),
                     "teacher.kd": pytest.approx(student_weight * kl(student, teacher), rel=1e-4)}


def test_prokts_student_follows_the_teacher_as_its_step_left_it_and_sees_no_labels() -> None:
    method, batch = online(), BATCHES[0]
    first, second = method.optimizer_passes(batch, 0.0)
    backward(first())
    torch.optim.SGD(method.joint_teacher.parameters(), lr=0.5).step()
    updated_teacher, student = outputs(method.joint_teacher, batch), outputs(method.student, batch)
    assert values(second()) == {"kd": pytest.approx(kl(updated_teacher, student), rel=1e-4)}


def train(method: OnlineDistillation, folder: Path, batches: int, **training: Any) -> list[dict[str, Any]]:
    recipe = TrainingRecipe(epochs=batches / 6, batch_size=8, learning_rate=0.5, warmup_epochs=0,
                            lr_schedule="constant", **training)
    folder.mkdir(exist_ok=True)
    machine = Machine(MachineRecipe(device="cpu", threads=1))
    Trainer(Run(folder), method, lambda number: Stage(batches / 6, (0,)), LOADER, recipe, machine).fit()
    return Run(folder).read_log()


def test_a_batch_of_prokt_in_the_loop_is_the_one_written_out(tmp_path: Path) -> None:
    method, batch = online(lr_scale=0.5), BATCHES[0]
    student, teacher = outputs(method.student, batch), outputs(method.joint_teacher, batch)
    trained_teacher = deepcopy(method.joint_teacher).double()
    logits = trained_teacher.train()(batch.images.permute(0, 3, 1, 2).double().sub(127.5).div(127.5))
    log_teacher, log_student = logits.log_softmax(1), torch.from_numpy(student).log_softmax(1)
    distance = (log_student.exp() * (log_student - log_teacher)).sum(1).mean()
    backward({"": 0.7 * -log_teacher[range(8), batch.labels].mean() + 0.3 * distance})
    with torch.no_grad():
        for weight in trained_teacher.parameters():
            assert weight.grad is not None
            weight.sub_(0.5 * 0.5 * (weight.grad + (0.01 * weight if weight.ndim > 1 else 0)))
    (line,) = train(method, tmp_path / "run", 1, weight_decay=0.01, clip_grad_norm=1e9)
    assert line["teacher.labels"] == pytest.approx(0.7 * entropy(teacher, batch), rel=1e-4)
    assert line["teacher.kd"] == pytest.approx(0.3 * kl(student, teacher), rel=1e-4)
    assert line["kd"] == pytest.approx(kl(outputs(trained_teacher, batch), student), rel=1e-3)
    assert line["loss"] == line["kd"]  # the loss of the student's step


@pytest.mark.parametrize("sizes", [(16, 16), (8, 16)])
def test_a_teacher_of_faces_is_drawn_by_the_cosine(sizes: tuple[int, int]) -> None:
    method, batch = online(head=FACES, outputs=sizes), BATCHES[1]
    student, teacher = outputs(method.student, batch), outputs(method.joint_teacher, batch)
    if sizes == (8, 16):
        student = student @ float64(method.state_dict()["projection.weight"]).T
    first, second = method.optimizer_passes(batch, 0.0)
    centers = float64(method.state_dict()["joint_teacher_head.weight"])
    assert values(first()) == {
        "teacher.labels": pytest.approx(arcface(teacher, centers, batch), rel=1e-4),
        "teacher.cosine": pytest.approx(0.3 * cosine_distance(student, teacher), rel=1e-4)}
    updated_teacher, student = outputs(method.joint_teacher, batch), outputs(method.student, batch)
    if sizes == (8, 16):
        student = student @ float64(method.state_dict()["projection.weight"]).T
    assert values(second()) == {"cosine": pytest.approx(80 * cosine_distance(student, updated_teacher), rel=1e-4)}


@pytest.mark.parametrize("head", [FACES, SOFTMAX], ids=["faces", "classes"])
@pytest.mark.parametrize("variant", ["prokt", "dml", "prokt, dual"])
def test_the_gradient_of_a_pass_reaches_only_the_network_of_that_pass(variant: str, head: HeadRecipe) -> None:
    name, _, mode = variant.partition(", ")
    method = online(name, head, mode=mode or "penalty")
    reached = []
    for closure in method.optimizer_passes(BATCHES[0], 0.0):
        method.zero_grad(set_to_none=True)
        backward(closure())
        reached.append({n.partition(".")[0] for n, p in method.named_parameters() if p.grad is not None})
    heads = ({"joint_teacher_head"}, {"head"} if name == "dml" else set()) if head is FACES else (set(), set())
    assert reached == [{"joint_teacher"} | heads[0], {"student"} | heads[1]]


@pytest.mark.parametrize("name", ["prokt", "dml"])
def test_a_batch_is_counted_once_in_the_statistics_of_either(name: str) -> None:
    method = online(name)
    for closure in method.optimizer_passes(BATCHES[0], 0.0):
        closure()
    tracked = {int(v) for name, v in method.state_dict().items() if name.endswith("num_batches_tracked")}
    assert tracked == {1}


@pytest.mark.parametrize(("epsilon", "dual_lr"), [(0.01, 0.5), (2.0, 0.4)])
def test_in_dual_mode_beta_follows_its_rule(epsilon: float, dual_lr: float) -> None:
    method, beta = online(mode="dual", epsilon=epsilon, dual_lr=dual_lr), 1.0
    betas = []
    for batch in BATCHES[:3]:
        student, teacher = outputs(method.student, batch), outputs(method.joint_teacher, batch)
        terms = values(method.optimizer_passes(batch, 0.0)[0]())
        assert terms == {"teacher.labels": pytest.approx(entropy(teacher, batch), rel=1e-4),
                         "teacher.kd": pytest.approx(beta * (kl(student, teacher) - epsilon), rel=1e-3, abs=1e-6)}
        beta = max(0.0, beta + dual_lr * (kl(student, teacher) - epsilon))
        assert float(method.state_dict()["beta"]) == pytest.approx(beta, rel=1e-4, abs=1e-7)
        betas.append(beta)
    assert betas == sorted(betas) if epsilon < 1 else betas[-1] == 0  # the distances are between the two epsilons


def test_in_dual_mode_the_gradient_is_that_of_beta_before_its_step() -> None:
    method, batch = online(mode="dual", epsilon=0.0, dual_lr=5.0), BATCHES[0]
    assert isinstance(method, ProKT)
    method.beta.fill_(0.0)
    backward({"kd": method.optimizer_passes(batch, 0.0)[0]()["teacher.kd"]})
    assert {float(p.grad.abs().max()) for p in method.joint_teacher.parameters() if p.grad is not None} == {0.0}
    assert float(method.beta) > 0


def test_a_zero_initialized_start_is_one_of_equal_probabilities_and_no_distance() -> None:
    method, batch = online(zero_init_classifier=True, fresh=True), BATCHES[0]
    for trained_network in (method.student, method.joint_teacher):
        assert {*outputs(trained_network, batch).flatten()} == {0.0}
    passes = [values(closure()) for closure in method.optimizer_passes(batch, 0.0)]
    assert passes == [{"teacher.labels": pytest.approx(0.7 * np.log(8)), "teacher.kd": 0.0}, {"kd": 0.0}]


@pytest.mark.parametrize(("name", "head", "joint_teacher"), [
    ("prokt", SOFTMAX, {"zero_init_classifier": False, "fresh": True}),
    ("prokt", SOFTMAX, {"zero_init_classifier": True}),
    ("prokt", FACES, {"zero_init_classifier": True, "fresh": True}),
    ("dml", SOFTMAX, {"zero_init_classifier": True})])
def test_elsewhere_last_layers_are_left_as_they_are(name: str, head: HeadRecipe, joint_teacher: dict[str, Any]) -> None:
    method = online(name, head, **joint_teacher)
    for trained_network, seed in ((method.student, 1), (method.joint_teacher, 2)):
        truth = network(seed, 8).state_dict()
        assert all(torch.equal(value, truth[key]) for key, value in trained_network.state_dict().items())


def test_lr_scale_is_a_factor_on_the_teachers_learning_rate(tmp_path: Path) -> None:
    changes = []
    for lr_scale in (1.0, 0.25):
        method = online(head=FACES, lr_scale=lr_scale)
        before = deepcopy(method.state_dict())
        train(method, tmp_path / str(lr_scale), 1, clip_grad_norm=1e9)
        changes.append({name: value - before[name] for name, value in method.state_dict().items()
                        if name.startswith("joint_teacher") and not name.endswith(("mean", "var", "tracked"))})
    assert any(name.startswith("joint_teacher_head") for name in changes[0])
    for name, value in changes[0].items():
        assert float(value.abs().max()) > 0
        torch.testing.assert_close(changes[1][name], 0.25 * value, rtol=1e-2, atol=2e-7)


def test_lr_scale_leaves_the_students_learning_rate_alone() -> None:
    method = online(lr_scale=0.25)
    optimizer = build_optimizer(method, TrainingRecipe(), torch.device("cpu"))
    scales = {id(p): group["lr_scale"] for group in optimizer.param_groups for p in group["params"]}
    assert {scales[id(p)] for p in method.student.parameters()} == {1.0}
    assert {scales[id(p)] for p in method.joint_teacher.parameters()} == {0.25}


@pytest.mark.parametrize(("method", "joint_teacher", "fresh", "lr_scale"), [
    ("prokt", {}, False, 0.3), ("prokt", {"fresh": True}, True, 1.0), ("prokt", {"lr_scale": 0.03}, False, 0.03),
    ("dml", {}, True, 1.0), ("dml", {"fresh": False}, False, 0.3)])
def test_what_the_recipe_leaves_open_is_the_default_of_the_method(
    method: str, joint_teacher: dict[str, Any], fresh: bool, lr_scale: float
) -> None:
    recipe = JointTeacherRecipe(**joint_teacher).with_defaults(ONLINE_METHODS[method].fresh_teacher)
    assert (recipe.fresh, recipe.lr_scale) == (fresh, lr_scale)


def dml_by_hand(trained: Float64, followed: Float64, batch: Batch) -> float:
    """CE + KL(p_followed || p_trained), as in the benchmark of methods."""
    return entropy(trained, batch) + kl(followed, trained)


def test_dml_follows_its_formula() -> None:
    method, batch = online("dml"), BATCHES[0]
    student, teacher = outputs(method.student, batch), outputs(method.joint_teacher, batch)
    passes = method.optimizer_passes(batch, 0.0)
    first = values(passes[0]())
    assert first.keys() == {"teacher.kd", "teacher.labels"}
    assert sum(first.values()) == pytest.approx(dml_by_hand(teacher, student, batch), rel=1e-4)
    updated_teacher, second = outputs(method.joint_teacher, batch), values(passes[1]())
    assert second.keys() == {"kd", "labels"}
    assert sum(second.values()) == pytest.approx(dml_by_hand(student, updated_teacher, batch), rel=1e-4)


def with_fixed_statistics(method: OnlineDistillation) -> OnlineDistillation:
    """Keep the running statistics of all batch norms constant, so that passes can be compared in any order."""
    for module in method.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
    return method


@pytest.mark.parametrize(("method", "head"), [
    ("dml", SOFTMAX), ("dml + rkd", SOFTMAX), ("dml", FACES), ("dml + rkd + at", FACES)],
    ids=["classes", "classes and rkd", "faces", "faces, rkd and at"])
def test_dml_is_the_same_with_the_roles_exchanged(method: str, head: HeadRecipe) -> None:
    original, exchanged = (with_fixed_statistics(online(method, head)) for _ in range(2))
    exchanged.student.load_state_dict(original.joint_teacher.state_dict())
    exchanged.joint_teacher.load_state_dict(original.student.state_dict())
    if original.head is not None and exchanged.head is not None:
        exchanged.head.load_state_dict(original.joint_teacher_head.state_dict())
        exchanged.joint_teacher_head.load_state_dict(original.head.state_dict())
    (teacher, student), (exchanged_teacher, exchanged_student) = (
        [{name.removeprefix("teacher."): value for name, value in values(closure()).items()}
         for closure in m.optimizer_passes(BATCHES[0], 0.5)]
        for m in (original, exchanged))
    assert teacher.keys() == student.keys()
    assert exchanged_student == pytest.approx(teacher, rel=1e-5)
    assert exchanged_teacher == pytest.approx(student, rel=1e-5)
    assert teacher != pytest.approx(student, rel=1e-3)


PARTIAL_TERMS = {"rkd": {"begin": 0.25, "end": 0.75}, "labels": {"weight": 0.5, "begin": 0.5}}


@pytest.mark.parametrize(("progress", "expected"), [
    (0.0, {"kd"}), (0.25, {"kd", "rkd"}), (0.5, {"kd", "rkd", "labels"}), (0.75, {"kd", "labels"})])
def test_terms_begin_and_end_on_both_sides_of_dml(progress: float, expected: set[str]) -> None:
    teacher, student = online("dml", losses=PARTIAL_TERMS).optimizer_passes(BATCHES[0], progress)
    assert (set(student()), set(teacher())) == (expected, {f"teacher.{name}" for name in expected})


def test_weights_count_on_both_sides_of_dml() -> None:
    default, halved = (
        [closure() for closure in
         with_fixed_statistics(online("dml", losses=losses)).optimizer_passes(BATCHES[0], 0.6)]
        for losses in ({}, {"labels": 0.5}))
    for number, name in enumerate(("teacher.labels", "labels")):
        half = 0.5 * float(default[number][name].detach())
        assert float(halved[number][name].detach()) == pytest.approx(half, rel=1e-5)


def test_terms_of_prokts_student_begin_and_end() -> None:
    method = online("prokt + rkd", losses=PARTIAL_TERMS)
    names = [[set(closure()) for closure in method.optimizer_passes(BATCHES[0], progress)]
             for progress in (0.0, 0.3, 0.8)]
    teacher = {"teacher.labels", "teacher.kd"}
    assert names == [[teacher, {"kd"}], [teacher, {"kd", "rkd"}], [teacher, {"kd", "labels"}]]


def test_pretraining_is_about_the_other_network_on_both_sides_of_dml() -> None:
    method = online("dml", FACES, losses={"proxyless-ours": {}})
    labels = torch.from_numpy(LOADER.images.labels)
    order = torch.cat([batch.index for batch in BATCHES]).argsort()
    for losses, followed in (("distillation_losses", method.joint_teacher), ("teacher_losses", method.student)):
        embeddings = np.concatenate([outputs(followed, batch) for batch in BATCHES])[order.numpy()]
        units = torch.from_numpy(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))
        truth = torch.stack([units[labels == identity].sum(0) for identity in range(8)])
        (sums,) = (v for name, v in method.state_dict().items() if name.startswith(losses) and name.endswith("sums"))
        torch.testing.assert_close(sums.double(), truth, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("method", "modules"), [
    ("prokt", {"joint_teacher", "joint_teacher_head", "beta"}),
    ("dml + vid", {"joint_teacher", "joint_teacher_head", "teacher_losses", "head"})])
def test_the_state_holds_all_that_is_trained(method: str, modules: set[str]) -> None:
    first, second = online(method, FACES, mode="dual"), online(method, FACES, mode="dual")
    with torch.no_grad():
        for value in first.state_dict().values():
            value.add_(1)
    second.load_state_dict(first.state_dict())
    assert modules < {name.partition(".")[0] for name in second.state_dict()}
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    trained = {name for name, weight in first.named_parameters() if weight.requires_grad}
    assert trained <= set(first.state_dict())


def test_both_networks_are_laid_out_for_the_machine() -> None:
    method = online()
    assert method.networks == [method.student, method.joint_teacher]


@pytest.mark.parametrize(("name", "expected"), [("prokt", ProKT), ("dml", DML)])
def test_the_objective_chooses_the_class(name: str, expected: type[OnlineDistillation]) -> None:
    assert type(online(name)) is expected


def test_an_objective_without_an_online_method_is_a_mistake_of_the_caller() -> None:
    objective = parse_objective("kd", {}, True)
    with pytest.raises(ValueError, match="names no online method"):
        build_online_distillation(network(1, 8), network(2, 8), objective, JointTeacherRecipe(), SOFTMAX, LOADER)
