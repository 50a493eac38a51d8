from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from facekd.config import HeadRecipe, LossRecipe, MachineRecipe, TrainingRecipe
from facekd.data.loading.augmentation import Flip
from facekd.data.loading.loader import Batch, Loader
from facekd.data.opening import open_faces
from facekd.methods.distillation import Distillation, build_distillation
from facekd.methods.objective import Objective, parse_objective
from facekd.models.architectures.resnet_cifar import ResNet
from facekd.models.registry import Network, create
from facekd.models.weights import save_model
from facekd.route.anchor_schedule import AnchorSchedule
from facekd.route.route import Point, Route
from facekd.route.strategies import make_plan
from facekd.route.teacher import Teacher, TorchTeacher
from facekd.run import Run
from facekd.training.machine import Machine
from facekd.training.method import Stage
from facekd.training.trainer import Trainer
from facekd.types import ModelOutput
from tests.methods.noise import noise_loader

SOFTMAX = HeadRecipe(name="softmax")
LOADER = noise_loader()
CPU = torch.device("cpu")
Float64 = NDArray[np.float64]


class TableTeacher(Teacher):
    """Random outputs of a seed, one row an image."""

    def __init__(self, seed: int, dimension: int = 16) -> None:
        self.dimension = dimension
        self.values = torch.randn(48, dimension, generator=torch.Generator().manual_seed(seed))

    def forward(self, batch: Batch) -> ModelOutput:
        return ModelOutput(self.values[batch.index])


TEACHERS: dict[int, Teacher] = {0: TableTeacher(0), 5: TableTeacher(5), 7: TableTeacher(7, 8)}


def teacher_for(points: Sequence[int]) -> Teacher:
    return TEACHERS[points[0]]


def student(outputs: int = 16) -> Network:
    torch.manual_seed(0)
    return create("iresnet10", size=32, outputs=outputs, width=0.25)


def objective(losses: dict[str, Any], closed_set: bool = False) -> Objective:
    return parse_objective("", {name: LossRecipe.model_validate(value) for name, value in losses.items()}, closed_set)


def make(losses: dict[str, Any] | None = None, outputs: int = 16) -> Distillation:
    """A student of embeddings; the embeddings of its teachers have the length 16."""
    example = TEACHERS[0].example_output()
    return build_distillation(student(outputs), objective(losses or {"l2": 1}), teacher_for, example, HeadRecipe(),
                              LOADER)


def classifier(losses: dict[str, Any], teacher: Teacher) -> Distillation:
    """A student of 8 classes with one teacher, ready for a batch."""
    method = build_distillation(student(8), objective(losses, True), lambda points: teacher, teacher.example_output(),
                                SOFTMAX, LOADER)
    method.on_stage_start(Stage(1, (0,)))
    return method


@pytest.fixture(scope="module")
def loader(small_faces: Path) -> Loader:
    return Loader(open_faces(small_faces), 32, batch_size=4, seed=0, augmentation=Flip())


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded teacher of 8 classes."""
    torch.manual_seed(3)
    network = create("resnet8", size=32, outputs=8)
    network.train()(torch.rand(16, 3, 32, 32) * 2 - 1)  # sets the running statistics
    file = tmp_path_factory.mktemp("route") / "point.safetensors"
    save_model(network, file)
    return file


@pytest.fixture
def live(point: Path) -> TorchTeacher:
    return TorchTeacher(point, CPU, with_features=True)


def pixels(batch: Batch) -> Tensor:
    return batch.images.permute(0, 3, 1, 2).float().sub(127.5).div(127.5)


def log_softmax(logits: Float64) -> Float64:
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)))


def kd_by_hand(student: Float64, teacher: Float64, temperature: float) -> float:
    """T^2 sum_k p_k (log p_k - log q_k), the mean over images (Hinton et al. 2015)."""
    log_q, log_p = log_softmax(student / temperature), log_softmax(teacher / temperature)
    return float(temperature**2 * (np.exp(log_p) * (log_p - log_q)).sum(1).mean())


def float64(values: Tensor) -> Float64:
    return np.asarray(values.detach().double().numpy())


FORMULAS: list[tuple[dict[str, Any], str, Callable[[Tensor, Tensor], Tensor]]] = [
    ({"l2": 1}, "l2", lambda s, t: 2 - 2 * F.cosine_similarity(s, t).mean()),
    ({"l2": {"weight": 3, "normalize": False}}, "l2", lambda s, t: 3 * 16 * F.mse_loss(s, t)),
    ({"cosine": 0.5}, "cosine", lambda s, t: 0.5 * (1 - F.cosine_similarity(s, t).mean())),
]


@pytest.mark.parametrize(("losses", "name", "formula"), FORMULAS)
def test_terms_follow_their_formulas(
    loader: Loader, losses: dict[str, Any], name: str, formula: Callable[[Tensor, Tensor], Tensor]
) -> None:
    batch, method = next(loader.iter_epoch(0)), make({**losses, "labels": 0})
    method.on_stage_start(Stage(1, (5,)))
    outputs = method.student(pixels(batch)).double()
    terms = method.losses(batch, 0.0)
    assert list(terms) == [name]
    truth = formula(outputs, TEACHERS[5].forward(batch).outputs.double())
    assert float(terms[name].detach()) == pytest.approx(float(truth.detach()), rel=1e-5)


@pytest.mark.parametrize(("options", "temperature"), [({}, 4), ({"temperature": 20}, 20), ({"temperature": 1}, 1)])
def test_kd_and_labels_follow_their_formulas(loader: Loader, options: dict[str, Any], temperature: float) -> None:
    batch = next(loader.iter_epoch(0))
    method = classifier({"labels": 0.1, "kd": {"weight": 0.9, **options}}, TEACHERS[7])
    outputs = float64(method.student(pixels(batch)))
    losses = method.losses(batch, 0.0)
    kd = kd_by_hand(outputs, float64(TEACHERS[7].forward(batch).outputs), temperature)
    labels = -log_softmax(outputs)[np.arange(4), batch.labels.numpy()].mean()
    assert {name: float(value.detach()) for name, value in losses.items()} == {
        "kd": pytest.approx(0.9 * kd, rel=5e-5), "labels": pytest.approx(0.1 * labels, rel=1e-5),
    }


def test_the_objective_of_everything_is_the_weighted_sum_of_its_terms(loader: Loader, live: TorchTeacher) -> None:
    batch, weights = next(loader.iter_epoch(0)), {"kd": 0.9, "hint": 100, "l2": 0.5, "cosine": 2, "labels": 0.1}
    method = classifier(weights, live)
    terms = method.losses(batch, 0.0)
    assert terms.keys() == weights.keys()
    for name, weight in weights.items():
        alone = classifier({name: 1, **({"kd": 1} if name == "labels" else {})}, live)
        if name == "hint":  # its regressor is initialized at another position of the random numbers
            alone.distillation_losses.load_state_dict(method.distillation_losses.state_dict())
        single = alone.losses(batch, 0.0)[name].detach()
        assert float(terms[name].detach()) == pytest.approx(weight * float(single), rel=1e-5)


def test_a_hint_follows_its_formula_on_the_live_teachers_maps(
    loader: Loader, point: Path, live: TorchTeacher
) -> None:
    stages = {"student_stage": 0, "teacher_stage": 1}
    batch, method = next(loader.iter_epoch(0)), classifier({"hint": {"weight": 1, **stages}}, live)
    teacher = create("resnet8", size=32, outputs=8)
    teacher.load_state_dict(live.model.state_dict())
    maps: dict[str, Tensor] = {}

    def record(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            maps[name] = output

        return hook

    teacher.eval().get_submodule("layer2").register_forward_hook(record("teacher"))
    method.student.get_submodule(method.student.stages[0]).register_forward_hook(record("student"))
    teacher(pixels(batch))
    loss = float(method.losses(batch, 0.0)["hint"].detach())
    student_map, target = float64(maps["student"]), float64(maps["teacher"])
    assert student_map.shape[2:] == target.shape[2:] == (16, 16)
    weight = float64(next(method.distillation_losses.parameters()))  # the norm after it begins with scale 1 and shift 0
    mapped = np.einsum("oc,nchw->nohw", weight[:, :, 0, 0], student_map)
    mean, variance = mapped.mean((0, 2, 3), keepdims=True), mapped.var((0, 2, 3), keepdims=True)
    mapped = (mapped - mean) / np.sqrt(variance + 1e-5)
    assert loss == pytest.approx(((mapped - target) ** 2).mean(), rel=1e-5)


def train(method: Distillation, loader: Loader, folder: Path, epochs: float = 1, lr_schedule: Any = "constant",
          stages: Callable[[int], Stage] | None = None) -> list[dict[str, Any]]:
    """Train in one stage with point 5 unless stages are given; return the lines of the log."""
    schedule = TrainingRecipe(epochs=epochs, batch_size=4, learning_rate=0.05, warmup_epochs=0, lr_schedule=lr_schedule)
    machine = Machine(MachineRecipe(device="cpu", threads=1))
    folder.mkdir(exist_ok=True)
    Trainer(Run(folder), method, stages or (lambda number: Stage(epochs, (5,))), loader, schedule, machine).fit()
    return Run(folder).read_log()


def test_a_hint_among_other_terms_trains_its_regressor_and_the_student(
    loader: Loader, live: TorchTeacher, tmp_path: Path
) -> None:
    method = classifier({"hint": 1, "kd": 0.9, "labels": 0.1}, live)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    teacher = {name: value.clone() for name, value in live.model.state_dict().items()}
    lines = train(method, loader, tmp_path, epochs=2)
    assert lines[-1]["hint"] < 0.8 * lines[0]["hint"]
    after = method.state_dict()
    moved = {name.partition(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert {"distillation_losses", "student"} == moved
    teacher_after = live.model.state_dict()
    assert [name for name, value in teacher.items() if not torch.equal(value, teacher_after[name])] == []


def test_a_stage_changes_the_anchor(loader: Loader) -> None:
    batch, method = next(loader.iter_epoch(0)), make().eval()
    losses = []
    for anchor in (0, 5, 0):
        method.on_stage_start(Stage(1, (anchor,)))
        losses.append(float(method.losses(batch, 0.0)["l2"].detach()))
    assert losses[0] == losses[2] != losses[1]


def test_the_teacher_of_all_anchors_of_a_stage_is_requested() -> None:
    requests: list[Sequence[int]] = []

    def record_request(points: Sequence[int]) -> Teacher:
        requests.append(points)
        return TEACHERS[0]

    example = TEACHERS[0].example_output()
    method = build_distillation(student(), objective({"l2": 1}), record_request, example, HeadRecipe(), LOADER)
    method.on_stage_start(Stage(1, (2, 4, 9)))
    assert requests == [(2, 4, 9)]


def test_a_stage_without_an_anchor_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="anchor"):
        make().on_stage_start(Stage(1))


def test_a_projection_is_there_only_where_sizes_differ() -> None:
    assert [n for n in make().state_dict() if n.startswith("projection")] == []
    assert make(outputs=8).state_dict()["projection.weight"].shape == (16, 8)


def test_the_teacher_term_uses_the_projection_and_the_labels_do_not(loader: Loader) -> None:
    batch, method = next(loader.iter_epoch(0)), make({"l2": {"weight": 1, "normalize": False}, "labels": 1}, outputs=8)
    method.on_stage_start(Stage(1, (5,)))
    outputs, losses = float64(method.student(pixels(batch))), method.losses(batch, 0.0)
    projected = outputs @ float64(method.state_dict()["projection.weight"]).T
    truth = ((projected - float64(TEACHERS[5].forward(batch).outputs)) ** 2).sum(1).mean()
    assert float(losses["l2"].detach()) == pytest.approx(truth, rel=1e-5)
    assert method.state_dict()["head.weight"].shape == (8, 8)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("losses", [{"l2": 1}, {"cosine": 1, "labels": 0.1}])
@pytest.mark.parametrize("outputs", [16, 8])
def test_outputs_are_those_of_its_mode_and_leave_no_trace(
    loader: Loader, losses: dict[str, Any], outputs: int, training: bool
) -> None:
    method, batch = make(losses, outputs).train(training), next(loader.iter_epoch(0))
    before = {name: value.clone() for name, value in method.state_dict().items()}
    outputs_now = method.outputs(batch.images)
    assert (outputs_now.dtype, outputs_now.shape, outputs_now.requires_grad) == (torch.float32, (4, 16), False)
    modules = [*method.student.modules(), *method.projection.modules()]
    assert {module.training for module in modules} == {training}
    after = method.state_dict()
    assert [name for name, value in before.items() if not torch.equal(value, after[name])] == []
    truth = method.projection(method.student(pixels(batch))).detach()
    torch.testing.assert_close(outputs_now, truth)


def test_differentiable_outputs_are_the_projected_outputs_with_a_gradient_for_every_weight(loader: Loader) -> None:
    method, batch = make({"l2": 1}, 8).train(), next(loader.iter_epoch(0))
    outputs_now = method.differentiable_outputs(batch.images)
    assert (outputs_now.dtype, outputs_now.shape) == (torch.float32, (4, 16))
    torch.testing.assert_close(outputs_now, method.projection(method.student(pixels(batch))))
    weights = [weight for weight in method.student.parameters() if weight.requires_grad]
    gradients = torch.autograd.grad(outputs_now.square().sum(), weights)
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_outputs_may_be_computed_between_steps_of_a_hint(loader: Loader, live: TorchTeacher) -> None:
    batch, other = list(loader.iter_epoch(0))[:2]
    values = []
    for compute_outputs in (False, True):
        method = classifier({"hint": 1}, live)
        if compute_outputs:
            method.outputs(other.images)
        values.append(method.losses(batch, 0.0)["hint"])
    assert torch.equal(values[0], values[1])
    values[1].backward()  # type: ignore[no-untyped-call]


def test_one_anchor_is_plain_mimicking_bit_for_bit(loader: Loader, tmp_path: Path) -> None:
    method = make({"l2": {"weight": 1, "normalize": False}})  # unit length would be rounded in another order
    train(method, loader, tmp_path, epochs=1.5)

    plain = student().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = [p for p in plain.parameters() if p.requires_grad]
    groups = [{"params": [p for p in trained if p.ndim > 1], "weight_decay": 5e-4},
              {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9)
    for batch in [*loader.iter_epoch(0), *list(loader.iter_epoch(1))[:6]]:
        optimizer.zero_grad()
        distances: Tensor = (TEACHERS[5].forward(batch).outputs - plain(pixels(batch))).square().sum(dim=1)
        distances.mean().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(plain.parameters(), 5.0)
        optimizer.step()
    truth = plain.state_dict()
    assert [n for n, value in method.student.state_dict().items() if not torch.equal(value, truth[n])] == []


class RecordingTeacher(TableTeacher):
    """Records at every step its point and the number of existing teachers."""

    def __init__(self, point: int, steps: list[int], counts: list[int], alive: weakref.WeakSet[RecordingTeacher]
                 ) -> None:
        super().__init__(point)
        self.point = point
        self.steps = steps
        self.counts = counts
        self.alive = alive
        alive.add(self)

    def forward(self, batch: Batch) -> ModelOutput:
        self.steps.append(self.point)
        self.counts.append(len(self.alive))
        return super().forward(batch)


def train_along_route(
    loader: Loader, folder: Path, points: int, anchors: int, epochs: float
) -> tuple[list[int], list[int], list[int]]:
    """Train along a route; return the anchor and the number of teachers of every step, and all created teachers."""
    route = Route(folder / "route", None, [Point(i, i, 0.1, "epoch", f"{i}.onnx", "0" * 64) for i in range(points)])
    route.write()
    steps: list[int] = []
    counts: list[int] = []
    created: list[int] = []
    alive = weakref.WeakSet[RecordingTeacher]()

    def recording_teacher(points: Sequence[int]) -> Teacher:
        created.append(points[0])
        return RecordingTeacher(points[0], steps, counts, alive)

    torch.manual_seed(0)
    network = create("resnet8", size=32, outputs=16, width=0.5)
    example = TableTeacher(0).example_output()
    method = build_distillation(network, objective({"l2": 1}), recording_teacher, example, HeadRecipe(), LOADER)
    schedule = AnchorSchedule(make_plan(route, "equal", anchors), route, folder / "plan.json", epochs)
    train(method, loader, folder / "run", epochs, "cosine", schedule)
    return steps, counts, created


@pytest.mark.parametrize(("points", "anchors", "epochs", "expected"), [
    (20, 4, 2, [4, 9, 14, 19]),  # its defaults: a student half as long as its teacher never sees the teacher's end
    (2, 2, 4, [0, 1]),  # a student longer than its teacher: it fails with an IndexError
    (3, 3, 2.5, [0, 1, 2]),
])
def test_anchors_span_the_students_training_and_end_with_the_last_which_kd_libs_do_not(
    loader: Loader, tmp_path: Path, points: int, anchors: int, epochs: float, expected: list[int]
) -> None:
    steps, _, _ = train_along_route(loader, tmp_path, points, anchors, epochs)
    stage_steps = round(epochs * loader.steps_per_epoch / anchors)
    assert steps == [point for point in expected for _ in range(stage_steps)]


def test_only_the_teacher_of_the_stage_exists_where_kd_lib_has_all(loader: Loader, tmp_path: Path) -> None:
    steps, counts, created = train_along_route(loader, tmp_path, 20, 4, 1)
    assert created == [4, 9, 14, 19]
    assert set(counts) == {1} and len(counts) == len(steps) == 12


def test_the_teacher_computes_without_gradient_which_kd_libs_does_not(
    loader: Loader, live: TorchTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, enabled = ResNet.forward, list[bool]()

    def forward(self: ResNet, x: Tensor) -> Tensor:
        enabled.append(torch.is_grad_enabled())
        return real(self, x)

    monkeypatch.setattr(ResNet, "forward", forward)
    method, batch = classifier({"kd": 1, "hint": 1}, live), next(loader.iter_epoch(0))
    torch.stack(list(method.losses(batch, 0.0).values())).sum().backward()  # type: ignore[no-untyped-call]
    assert enabled and not any(enabled)
    output = live.forward(batch)
    assert not any(value.requires_grad for value in (output.outputs, *output.feature_maps))


def test_a_teacher_whose_terms_have_ended_does_not_run(loader: Loader) -> None:
    steps: list[int] = []
    teacher = RecordingTeacher(0, steps, [], weakref.WeakSet[RecordingTeacher]())
    method = build_distillation(student(), objective({"l2": {"end": 0.5}, "labels": 1}), lambda points: teacher,
                                teacher.example_output(), HeadRecipe(), LOADER)
    batch = next(loader.iter_epoch(0))
    method.on_stage_start(Stage(1, (0,)))
    assert set(method.losses(batch, 0.4)) == {"l2", "labels"}
    assert steps == [0]
    assert set(method.losses(batch, 0.5)) == {"labels"}
    assert steps == [0]
