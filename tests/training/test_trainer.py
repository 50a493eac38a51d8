from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from facekd.config import MachineRecipe, ScheduleRecipe
from facekd.data.loading.augmentation import Flip
from facekd.data.loading.loader import Batch, Loader
from facekd.data.opening import open_faces
from facekd.errors import FacekdError
from facekd.run import Run
from facekd.training import checkpoint
from facekd.training import trainer as loop
from facekd.training.method import Method, Stage, Turn
from facekd.training.trainer import Moment, Trainer

STEPS = 12
"""Of an epoch: 48 images, 4 a batch."""


class Linear(Method):
    """A linear classifier of mean colours; its stages' targets differ by the anchor, 0 where there is none."""

    student: nn.Linear

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.student = nn.Linear(3, 8)
        self.begun: list[int] = []
        self.poison: tuple[int, str] | None = None
        self.calls = 0

    def begin(self, stage: Stage) -> None:
        self.begun.append(sum(stage.anchors))

    def losses(self, batch: Batch, done: float) -> dict[str, Tensor]:
        colours = batch.images.float().mean(dim=(1, 2)) / 255
        labels = (batch.labels + self.begun[-1]) % 8
        loss = F.cross_entropy(self.student(colours), labels)
        self.calls += 1
        if self.poison is not None and self.calls == self.poison[0]:
            if self.poison[1] == "loss":
                return {"labels": loss * float("nan")}
            # sqrt is finite at 0 and its gradient is not
            return {"labels": loss + (self.student.weight - self.student.weight.detach()).square().sum().sqrt()}
        return {"labels": loss}


@pytest.fixture
def loader(small_faces: Path) -> Loader:
    return Loader(open_faces(small_faces), 32, 4, 0, Flip())


def schedule(**values: Any) -> ScheduleRecipe:
    steady = {} if "warmup_steps" in values else {"warmup": 0}
    return ScheduleRecipe(**{"batch": 4, "learning_rate": 0.5, "weight_decay": 0.01, **steady, **values})


Stages = Sequence[Stage] | Callable[[int], Stage]


def trainer(path: Path, method: Method, loader: Loader, stages: Stages, **values: Any) -> Trainer:
    """Stages that are not listed do not say when they end: then ``epochs`` has to be given."""
    moments = values.pop("on_moment", lambda moment: None)
    path.mkdir(exist_ok=True)
    machine = MachineRecipe(device="cpu", threads=1, precision=values.pop("precision", "auto"))
    if not callable(stages):
        values, stages = {"epochs": stages[-1].until, **values}, stages.__getitem__
    return Trainer(Run(path), method, stages, loader, schedule(**values), machine, moments)


def reference(loader: Loader, lengths: Sequence[int], restart: bool = True) -> nn.Linear:
    """The training written out: SGD by its formula, momentum from zero in every stage, cosine in every stage."""
    method, step = Linear(), 0
    student = method.student
    batches = [b for epoch in range(9) for b in loader.epoch(epoch)]
    momenta = [torch.zeros_like(p) for p in student.parameters()]
    for number, length in enumerate(lengths):
        method.begin(Stage(9, (number,)))
        momenta = [torch.zeros_like(p) for p in student.parameters()] if restart else momenta
        for i in range(length):
            rate = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * i / length, dtype=torch.float64)).item()) / 2
            loss = method.losses(batches[step], 0.0)["labels"]
            gradients = torch.autograd.grad(loss, list(student.parameters()))
            with torch.no_grad():
                for p, g, m in zip(student.parameters(), gradients, momenta, strict=True):
                    m.mul_(0.9).add_(g + (0.01 * p if p.ndim > 1 else 0))
                    p.sub_(rate * m)
            step += 1
    return student


def test_two_stages_follow_sgd_written_out(tmp_path: Path, loader: Loader) -> None:
    method = Linear()
    trainer(tmp_path, method, loader, [Stage(1.5, (0,)), Stage(2.25, (1,))], clip=1e9).fit()
    truth = reference(loader, [18, 9])
    assert method.begun == [0, 1]
    torch.testing.assert_close(method.student.weight, truth.weight, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(method.student.bias, truth.bias, rtol=1e-4, atol=1e-6)
    kept = reference(loader, [18, 9], restart=False)  # what would come out if momentum were carried over
    assert (kept.weight - truth.weight).abs().max() > 1e-3


def test_gradients_are_clipped(tmp_path: Path, loader: Loader) -> None:
    method, before = Linear(), Linear()
    trainer(tmp_path, method, loader, [Stage(1 / 12)], clip=1e-3, shape="constant").fit()
    moved = torch.cat([(a - b).flatten() for a, b in
                       ((method.student.weight, before.student.weight * (1 - 0.5 * 0.01)),
                        (method.student.bias, before.student.bias))])
    assert float(moved.detach().norm()) == pytest.approx(0.5 * 1e-3, rel=1e-3)


class LinearWithHead(Linear):
    """Its head's gradients are a million times the student's."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 8)

    def losses(self, batch: Batch, done: float) -> dict[str, Tensor]:
        return {**super().losses(batch, done), "head": 1e6 * self.head(torch.ones(3)).sum()}


def test_a_head_with_large_gradients_leaves_the_students_clipping_alone(tmp_path: Path, loader: Loader) -> None:
    alone, beside = Linear(), LinearWithHead()
    for method, name in ((alone, "alone"), (beside, "beside")):
        trainer(tmp_path / name, method, loader, [Stage(0.5)], clip=0.1).fit()
    assert torch.equal(alone.student.weight, beside.student.weight)


def test_moments_are_epoch_ends_last_steps_before_drops_and_the_end(tmp_path: Path, loader: Loader) -> None:
    moments: list[Moment] = []
    trainer(tmp_path, Linear(), loader, [Stage(2.5)], shape="step", milestones=[0.5, 0.8],
            on_moment=moments.append).fit()
    assert [(m.step, m.reason) for m in moments] == [
        (12, "epoch"), (15, "before drop"), (24, "before drop"), (30, "last"),
    ]
    assert [m.learning_rate for m in moments] == pytest.approx([0.5, 0.5, 0.05, 0.005])
    assert [m.epoch for m in moments] == [1, 1.25, 2, 2.5]
    assert all(m.metrics["loss"] == m.metrics["labels"] for m in moments)


def test_each_stage_has_drops_of_its_own(tmp_path: Path, loader: Loader) -> None:
    moments: list[Moment] = []
    stages = [Stage(1, (0,)), Stage(2, (1,))]
    trainer(tmp_path, Linear(), loader, stages, shape="step", milestones=[0.5], on_moment=moments.append).fit()
    assert [(m.step, m.reason) for m in moments] == [
        (6, "before drop"), (12, "epoch"), (18, "before drop"), (24, "last"),
    ]


def log_without_times(path: Path) -> list[str]:
    lines = Run(path).read_log()
    return [json.dumps({k: v for k, v in line.items() if k != "seconds_per_step"}) for line in lines]


def quarters(epochs: float) -> list[Stage]:
    """Ends at quarters of the epochs, the last but one as a sum of shares; only the last says ``epochs`` itself."""
    return [Stage(epochs * sum([1 / 4] * n), (n,)) for n in (1, 2, 3)] + [Stage(epochs, (4,))]


def stage_ends(path: Path) -> list[int]:
    """The last step of every stage, read from the log."""
    return list({line["stage"]: line["step"] for line in Run(path).read_log()}.values())


@pytest.mark.parametrize(("epochs", "ends"), [
    (1, [3, 6, 9, 12]), (0.5, [2, 3, 4, 6]), (1.5, [4, 9, 14, 18]), (31 / 12, [8, 16, 23, 31]),
    (1 / 3, [1, 2, 3, 4]), (5 / 12, [1, 2, 4, 5]),
])
def test_four_quarters_end_exactly_with_the_epochs(
    tmp_path: Path, loader: Loader, epochs: float, ends: list[int]
) -> None:
    method = Linear()
    trainer(tmp_path, method, loader, quarters(epochs)).fit()
    assert stage_ends(tmp_path) == ends
    assert (method.begun, method.calls) == ([1, 2, 3, 4], ends[-1])


@pytest.mark.parametrize("count", [3, 7, 12])
def test_many_stages_share_the_steps_evenly(tmp_path: Path, loader: Loader, count: int) -> None:
    stages = [Stage(2.5 * (n + 1) / count) for n in range(count)]
    trainer(tmp_path, Linear(), loader, stages).fit()
    ends = stage_ends(tmp_path)
    assert ends[-1] == 30
    lengths = [b - a for a, b in zip([0, *ends], ends, strict=False)]
    assert len(lengths) == count and max(lengths) - min(lengths) <= 1


def test_a_stage_too_short_for_a_step_gets_one(tmp_path: Path, loader: Loader) -> None:
    trainer(tmp_path, Linear(), loader, [Stage(0.01), Stage(0.02), Stage(0.5)]).fit()
    assert stage_ends(tmp_path) == [1, 2, 6]


def test_a_stage_that_would_outlast_the_epochs_is_cut(tmp_path: Path, loader: Loader) -> None:
    method = Linear()
    trainer(tmp_path, method, loader, lambda number: Stage(7), epochs=1.5).fit()
    assert method.calls == 18


def test_stages_are_asked_for_in_order_and_only_when_their_turn_comes(tmp_path: Path, loader: Loader) -> None:
    method, asked = Linear(), list[tuple[int, int]]()

    def stages(number: int) -> Stage:
        asked.append((number, method.calls))
        return quarters(1)[number]

    trainer(tmp_path, method, loader, stages, epochs=1).fit()
    assert asked == [(0, 0), (1, 3), (2, 6), (3, 9)]


def test_who_chooses_the_next_stage_sees_the_weights_of_that_time(tmp_path: Path, loader: Loader) -> None:
    method, seen = Linear(), list[Tensor]()

    def greedy(number: int) -> Stage:
        seen.append(method.student.weight.detach().clone())
        return Stage(0.5 * (number + 1), (number,))

    trainer(tmp_path, method, loader, greedy, epochs=1.5, clip=1e9).fit()
    for lengths, weight in zip(([], [6], [6, 6]), seen, strict=True):
        torch.testing.assert_close(weight, reference(loader, lengths).weight.detach(), rtol=1e-4, atol=1e-6)


def test_the_learning_rate_begins_anew_in_every_stage_which_kd_lib_leaves_out(
    tmp_path: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LOG_STEPS", 1)
    trainer(tmp_path, Linear(), loader, quarters(4)).fit()
    rates = [line["learning_rate"] for line in Run(tmp_path).read_log()]
    cycle = [0.25 * (1 + math.cos(math.pi * i / STEPS)) for i in range(STEPS)]
    assert rates == pytest.approx(cycle * 4)


def newest(folder: Path) -> dict[str, Any]:
    found = checkpoint.newest(Run(folder).checkpoints)
    assert found
    return found[1]


Kill = Callable[[int], AbstractContextManager[None]]


@pytest.mark.parametrize(("step", "expected"), [
    (2, [(0, 0), (1, 6)]),  # killed in stage 0 without a checkpoint: from the beginning
    (7, [(0, 6), (1, 6)]),  # in stage 1 before its first checkpoint: stage 0 is asked for again, and has nothing to do
    (9, [(0, 6), (1, 6)]),
    (14, [(1, 12)]),  # in stage 1 after the checkpoint at the end of the epoch
])
def test_a_resumed_run_asks_again_for_the_stage_it_is_in(
    tmp_path: Path, loader: Loader, kill_at_step: Kill, step: int, expected: list[tuple[int, int]]
) -> None:
    stages = [Stage(0.5, (0,)), Stage(1.5, (5,))]
    with kill_at_step(step):
        trainer(tmp_path, Linear(), loader, stages).fit()
    found = checkpoint.newest(Run(tmp_path).checkpoints)
    done = found[1]["position"][2] if found else 0
    method, asked = Linear(), list[tuple[int, int]]()

    def again(number: int) -> Stage:
        asked.append((number, done + method.calls))
        return stages[number]

    trainer(tmp_path, method, loader, again, epochs=1.5).fit()
    assert asked == expected
    assert method.begun == [stages[number].anchors[0] for number, _ in expected]


@pytest.mark.parametrize("step", [1, 5, 13, 18, 19, 24, 27, 30, 33])
def test_a_run_killed_at_any_step_ends_as_if_it_had_not_been(
    tmp_path: Path, loader: Loader, kill_at_step: Kill, step: int
) -> None:
    stages = [Stage(1.5, (0,)), Stage(2.75, (3,))]  # 18 and 15 steps; checkpoints at 12, 18, 24, 33
    whole = Linear()
    trainer(tmp_path / "whole", whole, loader, stages).fit()
    with kill_at_step(step):
        trainer(tmp_path / "killed", Linear(), loader, stages).fit()
    torch.manual_seed(99)
    continued = Linear()
    trainer(tmp_path / "killed", continued, loader, stages).fit()
    assert continued.calls == 33 - max(c for c in (0, 12, 18, 24) if c < step)
    assert torch.equal(whole.student.weight, continued.student.weight)
    assert torch.equal(whole.student.bias, continued.student.bias)
    assert log_without_times(tmp_path / "whole") == log_without_times(tmp_path / "killed")


def test_a_kill_while_a_moment_is_recorded_is_made_up_for(tmp_path: Path, loader: Loader) -> None:
    moments: list[int] = []

    def record(moment: Moment) -> None:
        moments.append(moment.step)
        if moments == [12, 24]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path, Linear(), loader, [Stage(3)], on_moment=record).fit()
    trainer(tmp_path, Linear(), loader, [Stage(3)], on_moment=record).fit()
    assert moments == [12, 24, 24, 36]


def test_checkpoints_by_the_clock_change_nothing(
    tmp_path: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions: list[int] = []
    real = checkpoint.save

    def save(folder: Path, position: checkpoint.Position, *rest: Any, **states: Any) -> None:
        positions.append(position.step)
        real(folder, position, *rest, **states)

    monkeypatch.setattr(checkpoint, "save", save)
    monkeypatch.setattr(loop, "LOG_STEPS", 5)
    often = trainer(tmp_path / "often", Linear(), loader, [Stage(2)])
    often.checkpoint_seconds = -1
    often.fit()
    assert positions == [5, 10, 12, 15, 20, 24]
    monkeypatch.undo()
    monkeypatch.setattr(loop, "LOG_STEPS", 5)
    trainer(tmp_path / "rare", Linear(), loader, [Stage(2)]).fit()
    assert log_without_times(tmp_path / "often") == log_without_times(tmp_path / "rare")


@pytest.mark.parametrize(("step", "what"), [(14, "loss"), (24, "loss"), (24, "gradient"), (17, "gradient")])
def test_what_is_not_finite_stops_and_leaves_the_checkpoint(
    tmp_path: Path, loader: Loader, step: int, what: str
) -> None:
    method = Linear()
    method.poison = (step, what)
    with pytest.raises(FacekdError, match=r"no longer finite.*checkpoint before is kept"):
        trainer(tmp_path, method, loader, [Stage(3)]).fit()
    state = newest(tmp_path)
    assert state["position"] == [0, 12, 12]
    assert all(torch.isfinite(value).all() for value in state["method"].values())


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, loader: Loader) -> None:
    other = nn.Linear(3, 9)
    checkpoint.save(Run(tmp_path).checkpoints, checkpoint.Position(0, 1, 1), other.state_dict(), optimizer={})
    with pytest.raises(FacekdError, match=r"another architecture.*student\.weight"):
        trainer(tmp_path, Linear(), loader, [Stage(1)]).fit()


def test_a_finished_training_is_not_trained_further(tmp_path: Path, loader: Loader) -> None:
    trainer(tmp_path, Linear(), loader, [Stage(1, (0,)), Stage(2, (1,))]).fit()
    again = Linear()
    trainer(tmp_path, again, loader, [Stage(1, (0,)), Stage(2, (1,))]).fit()
    assert again.calls == 0


class Pair(Method):
    """Two linear networks in turns: the first learns labels, the second what the first says after its step."""

    student: nn.Linear

    def __init__(self, idle: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.student, self.partner = nn.Linear(3, 8), nn.Linear(3, 8)
        self.deputy, self.bystander = nn.Linear(3, 8), nn.Linear(3, 8)
        self.idle = idle  # after the first batch the deputy learns in the partner's place
        self.seen: list[tuple[Tensor, Tensor]] = []

    def losses(self, batch: Batch, done: float) -> dict[str, Tensor]:
        colours = batch.images.float().mean(dim=(1, 2)) / 255
        self.seen.append((self.student.weight.detach().clone(), self.partner.weight.detach().clone()))
        return {"follow": F.mse_loss(self.student(colours), self.partner(colours).detach())}

    def turns(self, batch: Batch, done: float) -> list[Turn]:
        return [lambda: self.teach(batch, done), lambda: self.losses(batch, done)]

    def teach(self, batch: Batch, done: float) -> dict[str, Tensor]:
        colours = batch.images.float().mean(dim=(1, 2)) / 255
        self.seen.append((self.student.weight.detach().clone(), self.partner.weight.detach().clone()))
        learner = self.deputy if self.idle and done > 0 else self.partner
        return {"teacher.labels": F.cross_entropy(learner(colours), batch.labels)}


def pair_by_hand(loader: Loader, steps: int) -> Pair:
    """Each with an SGD of its own, the student's step after the partner's."""
    pair = Pair()
    optimizers = []
    for part in (pair.partner, pair.student):
        groups: list[dict[str, Any]] = [{"params": [part.weight], "weight_decay": 0.01}, {"params": [part.bias]}]
        optimizers.append(torch.optim.SGD(groups, lr=0.5, momentum=0.9))
    for batch in list(loader.epoch(0))[:steps]:
        for optimizer, turn in zip(optimizers, pair.turns(batch, 0.0), strict=True):
            optimizer.zero_grad()
            torch.stack(list(turn().values())).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return pair


def test_two_turns_are_two_steps_and_the_second_sees_the_firsts_weights(tmp_path: Path, loader: Loader) -> None:
    pair = Pair()
    trainer(tmp_path, pair, loader, [Stage(5 / 12)], clip=1e9, shape="constant").fit()
    assert len(pair.seen) == 2 * 5
    befores, afters = pair.seen[::2], pair.seen[1::2]
    for (student, partner), (own, moved) in zip(befores, afters, strict=True):
        assert torch.equal(student, own)
        assert not torch.equal(partner, moved)
    for (_, moved), (_, next_batch) in zip(afters, befores[1:], strict=False):
        assert torch.equal(moved, next_batch)  # the student's step, with its momentum and decay, leaves it alone
    truth = pair_by_hand(loader, 5)
    for name, value in truth.state_dict().items():
        torch.testing.assert_close(pair.state_dict()[name], value, rtol=1e-5, atol=1e-7)


def test_what_a_turn_has_no_gradient_for_is_left_alone_whatever_its_momentum(tmp_path: Path, loader: Loader) -> None:
    pair, fresh = Pair(idle=True), Pair()
    trainer(tmp_path, pair, loader, [Stage(1)], clip=1e9, shape="constant").fit()
    truth = pair_by_hand(loader, 1)
    torch.testing.assert_close(pair.partner.weight, truth.partner.weight, rtol=1e-5, atol=1e-7)
    assert torch.equal(pair.bystander.weight, fresh.bystander.weight)  # nor does it decay
    assert not torch.equal(pair.deputy.weight, fresh.deputy.weight)


def test_the_log_has_the_terms_of_all_turns_and_the_total_of_the_last(tmp_path: Path, loader: Loader) -> None:
    trainer(tmp_path, Pair(), loader, [Stage(1 / 12)]).fit()
    (line,) = Run(tmp_path).read_log()
    assert line["loss"] == line["follow"] != line["teacher.labels"]


@pytest.mark.parametrize("step", [27, 28, 30])
def test_a_run_killed_in_either_turn_ends_as_if_it_had_not_been(
    tmp_path: Path, loader: Loader, kill_at_step: Kill, step: int
) -> None:
    whole, continued = Pair(), Pair()
    trainer(tmp_path / "whole", whole, loader, [Stage(1.5)]).fit()
    with kill_at_step(step):  # the checkpoint is at twelve batches, 24 steps
        trainer(tmp_path / "killed", Pair(), loader, [Stage(1.5)]).fit()
    trainer(tmp_path / "killed", continued, loader, [Stage(1.5)]).fit()
    assert all(torch.equal(value, continued.state_dict()[name]) for name, value in whole.state_dict().items())


def test_pace_is_a_factor_on_the_rate_of_one_part(tmp_path: Path, loader: Loader) -> None:
    moved = []
    for name, pace in (("plain", {}), ("paced", {"partner": 0.25})):
        pair = Pair()
        pair.pace = pace
        before = pair.partner.weight.detach().clone()
        trainer(tmp_path / name, pair, loader, [Stage(1 / 12)], clip=1e9).fit()
        moved.append(pair.partner.weight.detach() - before)
    torch.testing.assert_close(moved[1], 0.25 * moved[0], rtol=1e-4, atol=1e-7)


class Fleeting(Linear):
    """One term ends after three steps of twelve, and another begins after six."""

    def losses(self, batch: Batch, done: float) -> dict[str, Tensor]:
        terms = super().losses(batch, done)
        step = torch.tensor(round(done * STEPS) + 1.0)
        return terms | ({"early": step} if done < 0.25 else {}) | ({"late": step} if done >= 0.5 else {})


def test_terms_may_come_and_go_between_two_lines_of_the_log(tmp_path: Path, loader: Loader) -> None:
    trainer(tmp_path, Fleeting(), loader, [Stage(1)]).fit()
    (line,) = Run(tmp_path).read_log()
    assert (line["early"], line["late"]) == (2.0, 9.5)  # the means of the steps in which they counted


def doubled(loader: Loader) -> Loader:
    """The same batches of 4 in pairs."""
    return Loader(loader.images, 32, 8, 0, Flip())


def test_two_batches_a_step_are_one_of_twice_the_size(tmp_path: Path, loader: Loader) -> None:
    halves, whole = Linear(), Linear()
    trainer(tmp_path / "halves", halves, doubled(loader), [Stage(2)], accumulate=2).fit()
    trainer(tmp_path / "whole", whole, doubled(loader), [Stage(2)]).fit()
    assert (halves.calls, whole.calls) == (2 * 12, 12)
    torch.testing.assert_close(halves.student.weight, whole.student.weight, rtol=1e-5, atol=1e-7)
    logs = [[line["loss"] for line in Run(tmp_path / name).read_log()] for name in ("halves", "whole")]
    assert logs[0] == pytest.approx(logs[1], rel=1e-5)


def test_turns_are_accumulated_each_by_itself(tmp_path: Path, loader: Loader) -> None:
    halves, whole = Pair(), Pair()
    trainer(tmp_path / "halves", halves, doubled(loader), [Stage(1)], accumulate=2).fit()
    trainer(tmp_path / "whole", whole, doubled(loader), [Stage(1)]).fit()
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(halves.state_dict()[name], value, rtol=1e-5, atol=1e-7)


def test_the_mean_of_the_weights_is_its_closed_form(tmp_path: Path, loader: Loader) -> None:
    class Watched(Linear):
        def losses(self, batch: Batch, done: float) -> dict[str, Tensor]:
            weights.append(self.student.weight.detach().double().clone())
            return super().losses(batch, done)

    weights: list[Tensor] = []
    method = Watched()
    one = trainer(tmp_path, method, loader, [Stage(0.5), Stage(1)], ema=0.8)
    one.fit()
    after = torch.stack([*weights[1:], method.student.weight.detach().double()])
    shares = torch.tensor([0.8**11, *(0.2 * 0.8 ** (12 - t) for t in range(2, 13))], dtype=torch.float64)
    assert one.average is not None
    torch.testing.assert_close(one.average.module.weight.double(), (shares[:, None, None] * after).sum(0))


@pytest.mark.parametrize("values", [
    {"optimizer": "adamw", "learning_rate": 0.01}, {"ema": 0.9}, {"accumulate": 2}, {"precision": "float16"},
    {"shape": "onecycle", "warmup_steps": 2},
])
def test_all_that_is_kept_comes_back_bit_for_bit(
    tmp_path: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]
) -> None:
    monkeypatch.setattr(loop, "LOG_STEPS", 5)
    stages = [Stage(1), Stage(2)]
    loader = doubled(loader)
    whole, first, second = Linear(), Linear(), Linear()
    through = trainer(tmp_path / "whole", whole, loader, stages, **values)
    through.fit()
    killed = trainer(tmp_path / "killed", first, loader, stages, **values)
    killed.on_moment, killed.checkpoint_seconds = stop_at(12), -1
    with pytest.raises(KeyboardInterrupt):
        killed.fit()
    assert newest(tmp_path / "killed")["position"] == [1, 4, 10]
    resumed = trainer(tmp_path / "killed", second, loader, stages, **values)
    resumed.fit()
    assert torch.equal(whole.student.weight, second.student.weight)
    assert through.scaler.state_dict() == resumed.scaler.state_dict()
    if through.average is not None and resumed.average is not None:
        means = [average.module.get_parameter("weight") for average in (through.average, resumed.average)]
        assert torch.equal(*means)
    assert (through.average is None) == (resumed.average is None) == ("ema" not in values)


def stop_at(step: int) -> Callable[[Moment], None]:
    def stop(moment: Moment) -> None:
        if moment.step == step:
            raise KeyboardInterrupt

    return stop


def test_a_checkpoint_from_before_there_was_more_to_keep_is_continued(tmp_path: Path, loader: Loader) -> None:
    plain = Linear()
    optimizer = torch.optim.SGD([{"params": [plain.student.weight], "pace": 1.0, "weight_decay": 0.01},
                                 {"params": [plain.student.bias], "pace": 1.0, "weight_decay": 0.0}],
                                lr=0.5, momentum=0.9)
    checkpoint.save(Run(tmp_path).checkpoints, checkpoint.Position(0, 0, 0), plain.state_dict(),
                    optimizer=optimizer.state_dict())
    method = Linear()
    trainer(tmp_path, method, loader, [Stage(1)], clip=1e9).fit()
    torch.testing.assert_close(method.student.weight, reference(loader, [12]).weight, rtol=1e-4, atol=1e-6)


def test_a_step_whose_gradients_overflow_in_float16_is_left_out(tmp_path: Path, loader: Loader) -> None:
    method, before = Linear(), Linear()
    method.poison = (1, "gradient")
    one = trainer(tmp_path, method, loader, [Stage(1 / 12)], precision="float16")
    one.fit()
    assert torch.equal(method.student.weight, before.student.weight)
    assert one.scaler.get_scale() == 2**15


def test_float16_without_any_finite_gradient_stops(tmp_path: Path, loader: Loader) -> None:
    class Poisoned(Linear):
        def losses(self, batch: Batch, done: float) -> dict[str, Tensor]:
            self.poison = (self.calls + 1, "gradient")
            return super().losses(batch, done)

    with pytest.raises(FacekdError, match="every gradient is no longer finite"):
        trainer(tmp_path, Poisoned(), loader, [Stage(4)], precision="float16").fit()


@pytest.mark.parametrize(("step", "what"), [(14, "loss"), (17, "gradient"), (20, "gradient")])
def test_the_batch_that_was_not_finite_is_kept(tmp_path: Path, loader: Loader, step: int, what: str) -> None:
    method = Linear()
    method.poison = (step, what)
    with pytest.raises(FacekdError, match=rf"at step {step}, whose batch is kept in \S+not_finite\.safetensors"):
        trainer(tmp_path, method, loader, [Stage(3)]).fit()
    kept = load_file(tmp_path / "not_finite.safetensors")
    assert torch.equal(kept["index"], list(loader.run(0, step))[-1].index)
    assert json.loads((tmp_path / "not_finite.json").read_text())["step"] == step
