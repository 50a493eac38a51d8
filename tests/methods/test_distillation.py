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

from facekd.config import HeadRecipe, LossRecipe, MachineRecipe, ScheduleRecipe
from facekd.data.loading.augmentation import Flip
from facekd.data.loading.loader import Batch, Loader
from facekd.data.opening import open_faces
from facekd.errors import ModelError
from facekd.methods.distillation import Distillation
from facekd.methods.objective import Mixture, mixture
from facekd.models.architectures.resnet_cifar import ResNet
from facekd.models.registry import Network, create
from facekd.models.weights import save_model
from facekd.route.anchor_schedule import Walk
from facekd.route.route import Point, Route
from facekd.route.strategies import make_plan
from facekd.route.teacher import LiveTeacher, Teacher, live_teacher
from facekd.run import Run
from facekd.training.method import Stage
from facekd.training.trainer import Trainer
from facekd.types import Answer
from tests.methods.noise import noise

SOFTMAX = HeadRecipe(name="softmax")
LOADER = noise()
CPU = torch.device("cpu")
Float64 = NDArray[np.float64]


class Table(Teacher):
    def __init__(self, seed: int, dimension: int = 16) -> None:
        self.dimension = dimension
        self.values = torch.randn(48, dimension, generator=torch.Generator().manual_seed(seed))

    def answer(self, batch: Batch) -> Answer:
        return Answer(self.values[batch.index])


TEACHERS: dict[int, Teacher] = {0: Table(0), 5: Table(5), 7: Table(7, 8)}


def of_table(points: Sequence[int]) -> Teacher:
    return TEACHERS[points[0]]


def student(outputs: int = 16) -> Network:
    torch.manual_seed(0)
    return create("iresnet10", size=32, outputs=outputs, width=0.25)


def mixed(losses: dict[str, Any], closed: bool = False) -> Mixture:
    return mixture("", {name: LossRecipe.model_validate(value) for name, value in losses.items()}, closed)


def make(losses: dict[str, Any] | None = None, outputs: int = 16) -> Distillation:
    """A student of embeddings, beside teachers of 16."""
    terms = mixed(losses or {"l2": 1})
    return Distillation(student(outputs), terms, of_table, TEACHERS[0].sample(), HeadRecipe(), LOADER)


def classifier(losses: dict[str, Any], teacher: Teacher) -> Distillation:
    """A student of 8 classes after one teacher, ready for a batch."""
    method = Distillation(student(8), mixed(losses, True), lambda points: teacher, teacher.sample(), SOFTMAX, LOADER)
    method.begin(Stage(1, (0,)))
    return method


@pytest.fixture(scope="module")
def loader(small_faces: Path) -> Loader:
    return Loader(open_faces(small_faces), 32, 4, 0, Flip())


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded teacher of 8 classes."""
    torch.manual_seed(3)
    network = create("resnet8", size=32, outputs=8)
    network.train()(torch.rand(16, 3, 32, 32) * 2 - 1)  # batch statistics of its own
    file = tmp_path_factory.mktemp("route") / "point.safetensors"
    save_model(network, file)
    return file


@pytest.fixture
def live(point: Path) -> LiveTeacher:
    return live_teacher(point, CPU, inside=True)


def pixels(batch: Batch) -> Tensor:
    return batch.images.permute(0, 3, 1, 2).float().sub(127.5).div(127.5)


def log_softmax(logits: Float64) -> Float64:
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)))


def kd_by_hand(student: Float64, teacher: Float64, temperature: float) -> float:
    """T^2 sum_k p_k (log p_k - log q_k), the mean over images (Hinton et al. 2015)."""
    own, target = log_softmax(student / temperature), log_softmax(teacher / temperature)
    return float(temperature**2 * (np.exp(target) * (target - own)).sum(1).mean())


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
    batch, method = next(loader.epoch(0)), make({**losses, "labels": 0})
    method.begin(Stage(1, (5,)))
    own = method.student(pixels(batch)).double()
    found = method.losses(batch, 0.0)
    assert list(found) == [name]
    truth = formula(own, TEACHERS[5].answer(batch).outputs.double())
    assert float(found[name].detach()) == pytest.approx(float(truth.detach()), rel=1e-5)


@pytest.mark.parametrize(("options", "temperature"), [({}, 4), ({"temperature": 20}, 20), ({"temperature": 1}, 1)])
def test_kd_and_labels_follow_their_formulas(loader: Loader, options: dict[str, Any], temperature: float) -> None:
    batch = next(loader.epoch(0))
    method = classifier({"labels": 0.1, "kd": {"weight": 0.9, **options}}, TEACHERS[7])
    own = float64(method.student(pixels(batch)))
    losses = method.losses(batch, 0.0)
    kd = kd_by_hand(own, float64(TEACHERS[7].answer(batch).outputs), temperature)
    labels = -log_softmax(own)[np.arange(4), batch.labels.numpy()].mean()
    assert {name: float(value.detach()) for name, value in losses.items()} == {
        "kd": pytest.approx(0.9 * kd, rel=5e-5), "labels": pytest.approx(0.1 * labels, rel=1e-5),
    }


def test_the_mixture_of_everything_is_the_weighted_sum_of_its_terms(loader: Loader, live: LiveTeacher) -> None:
    batch, weights = next(loader.epoch(0)), {"kd": 0.9, "hint": 100, "l2": 0.5, "cosine": 2, "labels": 0.1}
    method = classifier(weights, live)
    mixed = method.losses(batch, 0.0)
    assert mixed.keys() == weights.keys()
    for name, weight in weights.items():
        alone = classifier({name: 1, **({"kd": 1} if name == "labels" else {})}, live)
        if name == "hint":  # it draws its regressor, at the same place among the random numbers only by chance
            alone.distances.load_state_dict(method.distances.state_dict())
        single = alone.losses(batch, 0.0)[name].detach()
        assert float(mixed[name].detach()) == pytest.approx(weight * float(single), rel=1e-5)


def test_a_hint_follows_its_formula_on_the_live_teachers_maps(
    loader: Loader, point: Path, live: LiveTeacher
) -> None:
    stages = {"student_stage": 0, "teacher_stage": 1}
    batch, method = next(loader.epoch(0)), classifier({"hint": {"weight": 1, **stages}}, live)
    teacher = create("resnet8", size=32, outputs=8)
    teacher.load_state_dict(live._model.state_dict())  # type: ignore[attr-defined]
    maps: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            maps[name] = output

        return hook

    teacher.eval().get_submodule("layer2").register_forward_hook(keep("teacher"))
    method.student.get_submodule(method.student.stages[0]).register_forward_hook(keep("student"))
    teacher(pixels(batch))
    loss = float(method.losses(batch, 0.0)["hint"].detach())
    own, target = float64(maps["student"]), float64(maps["teacher"])
    assert own.shape[2:] == target.shape[2:] == (16, 16)
    weight = float64(next(method.distances.parameters()))  # the norm behind it begins at times 1, plus 0
    mapped = np.einsum("oc,nchw->nohw", weight[:, :, 0, 0], own)
    mean, variance = mapped.mean((0, 2, 3), keepdims=True), mapped.var((0, 2, 3), keepdims=True)
    mapped = (mapped - mean) / np.sqrt(variance + 1e-5)
    assert loss == pytest.approx(((mapped - target) ** 2).mean(), rel=1e-5)


def train(method: Distillation, loader: Loader, folder: Path, epochs: float = 1, shape: Any = "constant",
          stages: Callable[[int], Stage] | None = None) -> list[dict[str, Any]]:
    """One stage after point 5, unless stages are given; the lines of the log."""
    schedule = ScheduleRecipe(epochs=epochs, batch=4, learning_rate=0.05, warmup=0, shape=shape)
    machine = MachineRecipe(device="cpu", threads=1)
    folder.mkdir(exist_ok=True)
    Trainer(Run(folder), method, stages or (lambda number: Stage(epochs, (5,))), loader, schedule, machine).fit()
    return Run(folder).read_log()


def test_a_hint_in_a_mixture_trains_its_regressor_and_the_student(
    loader: Loader, live: LiveTeacher, tmp_path: Path
) -> None:
    method = classifier({"hint": 1, "kd": 0.9, "labels": 0.1}, live)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    teacher = {name: value.clone() for name, value in live._model.state_dict().items()}  # type: ignore[attr-defined]
    lines = train(method, loader, tmp_path, epochs=2)
    assert lines[-1]["hint"] < 0.8 * lines[0]["hint"]
    after = method.state_dict()
    moved = {name.partition(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert {"distances", "student"} == moved
    kept = live._model.state_dict()  # type: ignore[attr-defined]
    assert [name for name, value in teacher.items() if not torch.equal(value, kept[name])] == []


def test_a_stage_changes_the_anchor(loader: Loader) -> None:
    batch, method = next(loader.epoch(0)), make().eval()
    found = []
    for anchor in (0, 5, 0):
        method.begin(Stage(1, (anchor,)))
        found.append(float(method.losses(batch, 0.0)["l2"].detach()))
    assert found[0] == found[2] != found[1]


def test_all_anchors_of_a_stage_are_asked_for() -> None:
    asked: list[Sequence[int]] = []

    def of(points: Sequence[int]) -> Teacher:
        asked.append(points)
        return TEACHERS[0]

    method = Distillation(student(), mixed({"l2": 1}), of, TEACHERS[0].sample(), HeadRecipe(), LOADER)
    method.begin(Stage(1, (2, 4, 9)))
    assert asked == [(2, 4, 9)]


def test_a_stage_without_an_anchor_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="anchor"):
        make().begin(Stage(1))


def test_a_projection_is_there_only_where_sizes_differ() -> None:
    assert [n for n in make().state_dict() if n.startswith("projection")] == []
    assert make(outputs=8).state_dict()["projection.weight"].shape == (16, 8)


def test_a_projection_stands_before_the_teacher_and_not_before_the_labels(loader: Loader) -> None:
    batch, method = next(loader.epoch(0)), make({"l2": {"weight": 1, "normalize": False}, "labels": 1}, outputs=8)
    method.begin(Stage(1, (5,)))
    own, losses = float64(method.student(pixels(batch))), method.losses(batch, 0.0)
    projected = own @ float64(method.state_dict()["projection.weight"]).T
    truth = ((projected - float64(TEACHERS[5].answer(batch).outputs)) ** 2).sum(1).mean()
    assert float(losses["l2"].detach()) == pytest.approx(truth, rel=1e-5)
    assert method.state_dict()["head.weight"].shape == (8, 8)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("losses", [{"l2": 1}, {"cosine": 1, "labels": 0.1}])
@pytest.mark.parametrize("outputs", [16, 8])
def test_outputs_are_those_of_its_mode_and_leave_no_trace(
    loader: Loader, losses: dict[str, Any], outputs: int, training: bool
) -> None:
    method, batch = make(losses, outputs).train(training), next(loader.epoch(0))
    before = {name: value.clone() for name, value in method.state_dict().items()}
    found = method.outputs(batch.images)
    assert (found.dtype, found.shape, found.requires_grad) == (torch.float32, (4, 16), False)
    assert {module.training for part in (method.student, method.projection) for module in part.modules()} == {training}
    after = method.state_dict()
    assert [name for name, value in before.items() if not torch.equal(value, after[name])] == []
    truth = method.projection(method.student(pixels(batch))).detach()
    torch.testing.assert_close(found, truth)


def test_outputs_may_be_asked_for_between_steps_of_a_hint(loader: Loader, live: LiveTeacher) -> None:
    batch, other = list(loader.epoch(0))[:2]
    values = []
    for ask in (False, True):
        method = classifier({"hint": 1}, live)
        if ask:
            method.outputs(other.images)
        values.append(method.losses(batch, 0.0)["hint"])
    assert torch.equal(values[0], values[1])
    values[1].backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("losses", [{"l2": 0, "kd": 0}, {"labels": 1}, {"labels": 1, "l2": 0}])
def test_what_follows_no_teacher_is_refused(losses: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"losses: none follows a teacher.*facekd teach"):
        make(losses)


def test_a_teacher_of_other_classes_is_refused() -> None:
    with pytest.raises(ModelError, match="the teacher knows 16 classes and the data 8; train both on the same classes"):
        classifier({"kd": 1}, TEACHERS[0])


@pytest.mark.parametrize(("losses", "message"), [
    ({"kdd": 1}, "unknown loss 'kdd': did you mean 'kd'"),
    ({"l2": {"normalise": True}}, "loss l2: unknown option 'normalise'"),
    ({"l2": 1, "labels": {"smoothing": 0.1}}, "loss labels: unknown option 'smoothing'"),
])
def test_an_unknown_loss_or_option_is_refused(losses: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make(losses)


def test_a_hint_without_the_teachers_maps_is_refused() -> None:
    with pytest.raises(ModelError, match="the teacher's answer holds no maps"):
        make({"hint": 1})


def test_one_anchor_is_plain_mimicking_bit_for_bit(loader: Loader, tmp_path: Path) -> None:
    method = make({"l2": {"weight": 1, "normalize": False}})  # unit length would be rounded in another order
    train(method, loader, tmp_path, epochs=1.5)

    plain = student().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = [p for p in plain.parameters() if p.requires_grad]
    groups = [{"params": [p for p in trained if p.ndim > 1], "weight_decay": 5e-4},
              {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9)
    for batch in [*loader.epoch(0), *list(loader.epoch(1))[:6]]:
        optimizer.zero_grad()
        distances: Tensor = (TEACHERS[5].answer(batch).outputs - plain(pixels(batch))).square().sum(dim=1)
        distances.mean().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(plain.parameters(), 5.0)
        optimizer.step()
    truth = plain.state_dict()
    assert [n for n, value in method.student.state_dict().items() if not torch.equal(value, truth[n])] == []


class Watched(Table):
    """Notes at every step which point it is, and how many teachers are held."""

    def __init__(self, point: int, steps: list[int], held: list[int], alive: weakref.WeakSet[Watched]) -> None:
        super().__init__(point)
        self.point, self.steps, self.held, self.alive = point, steps, held, alive
        alive.add(self)

    def answer(self, batch: Batch) -> Answer:
        self.steps.append(self.point)
        self.held.append(len(self.alive))
        return super().answer(batch)


def walk(
    loader: Loader, folder: Path, points: int, anchors: int, epochs: float
) -> tuple[list[int], list[int], list[int]]:
    """Train along a route; gives the anchor of every step, the teachers held at it, and the teachers made."""
    route = Route(folder / "route", None, [Point(i, i, 0.1, "epoch", f"{i}.onnx", "0" * 64) for i in range(points)])
    route.write()
    steps, held, made, alive = list[int](), list[int](), list[int](), weakref.WeakSet[Watched]()

    def of(points: Sequence[int]) -> Teacher:
        made.append(points[0])
        return Watched(points[0], steps, held, alive)

    torch.manual_seed(0)
    network = create("resnet8", size=32, outputs=16, width=0.5)
    method = Distillation(network, mixed({"l2": 1}), of, Table(0).sample(), HeadRecipe(), LOADER)

    def unasked(points: Sequence[int]) -> list[float]:
        raise AssertionError("only a greedy plan asks")

    way = Walk(make_plan(route, "equal", anchors), route, folder / "plan.json", epochs, unasked)
    train(method, loader, folder / "run", epochs, "cosine", way)
    return steps, held, made


@pytest.mark.parametrize(("points", "anchors", "epochs", "expected"), [
    (20, 4, 2, [4, 9, 14, 19]),  # its defaults: a student half as long as its teacher never sees the teacher's end
    (2, 2, 4, [0, 1]),  # a student longer than its teacher: it fails with an IndexError
    (3, 3, 2.5, [0, 1, 2]),
])
def test_anchors_span_the_students_training_and_end_with_the_last_which_kd_libs_do_not(
    loader: Loader, tmp_path: Path, points: int, anchors: int, epochs: float, expected: list[int]
) -> None:
    steps, _, _ = walk(loader, tmp_path, points, anchors, epochs)
    each = round(epochs * loader.steps / anchors)
    assert steps == [point for point in expected for _ in range(each)]


def test_only_the_teacher_of_the_stage_is_held_where_kd_lib_holds_all(loader: Loader, tmp_path: Path) -> None:
    steps, held, made = walk(loader, tmp_path, 20, 4, 1)
    assert made == [4, 9, 14, 19]
    assert set(held) == {1} and len(held) == len(steps) == 12


def test_the_teacher_computes_without_gradient_which_kd_libs_does_not(
    loader: Loader, live: LiveTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, enabled = ResNet.forward, list[bool]()

    def forward(self: ResNet, x: Tensor) -> Tensor:
        enabled.append(torch.is_grad_enabled())
        return real(self, x)

    monkeypatch.setattr(ResNet, "forward", forward)
    method, batch = classifier({"kd": 1, "hint": 1}, live), next(loader.epoch(0))
    torch.stack(list(method.losses(batch, 0.0).values())).sum().backward()  # type: ignore[no-untyped-call]
    assert enabled and not any(enabled)
    answer = live.answer(batch)
    assert not any(value.requires_grad for value in (answer.outputs, *answer.maps))


def test_a_teacher_whose_terms_have_ended_is_not_asked(loader: Loader) -> None:
    method, batch = make({"l2": {"end": 0.5}, "labels": 1}), next(loader.epoch(0))
    method.begin(Stage(1, (0,)))
    assert set(method.losses(batch, 0.4)) == {"l2", "labels"}
    method._teacher = None  # type: ignore[assignment]
    assert set(method.losses(batch, 0.5)) == {"labels"}
