"""``facekd search``: a taught network in, a smaller network found inside it out."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch

from facekd.config import HeadRecipe, SearchRecipe
from facekd.config.loading import load_recipe, recipe_of
from facekd.data.loading.loader import Loader
from facekd.data.training_set import TrainingSet, open_training
from facekd.deploy.benchmark.latency import latency
from facekd.deploy.source import Form, freeze
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.errors import DataError, ModelError
from facekd.methods.search.budget import Budget, filled, largest, random_subgraph, uniform
from facekd.methods.search.method import Search
from facekd.models.architectures.resnet_cifar import ResNet
from facekd.models.architectures.resnet_pruned import Layout
from facekd.models.registry import ModelSpec, Network, create
from facekd.models.torch_embedder import TorchEmbedder
from facekd.models.weights import load_model
from facekd.reporting.plots.search import search_picture
from facekd.route.teacher import live_teacher
from facekd.run import Run
from facekd.training.lr_schedule import learning_rate
from facekd.training.machine import Machine
from facekd.training.method import Stage
from facekd.training.trainer import Moment, Trainer
from facekd.utils import files

VERSION = 1
RESULT = "search.json"


def find(teacher: Path | str | None = None, out: Path | str | None = None, *overrides: str,
         recipe: Path | str | None = None) -> Path:
    """Search a student inside its teacher at a budget, and draw controls at the same budget; see `methods.search`.

    The same call continues a search that was killed. The student is then trained by `distill`, from fresh weights.

    Args:
        teacher: a run of teach or distill whose model is a ResNet for CIFAR (recipe key ``teacher``).
        out: the run folder (recipe key ``out``).
        overrides: ``key=value`` of `facekd.config.SearchRecipe`, e.g. ``"share=0.5"``.
        recipe: a YAML recipe.

    Returns:
        the run folder, with ``search.json``: budget, lambda's history, and plans of found, uniform and random students.

    Raises:
        RecipeError: mistakes in the recipe.
        ModelError: a teacher in which nothing can be searched, or a budget that no subgraph keeps to.
        DataError: the teacher's training set is no longer there.
        SetupError: the folder holds another run, the disk is full, the device is absent.
    """
    given = {"teacher": teacher, "out": out}
    resolved = load_recipe(SearchRecipe, Path(recipe) if recipe else None, overrides, given)
    run, taught = Run(Path(resolved.out)), Run(Path(resolved.teacher))
    network = _searchable(load_model(taught.model), resolved)
    head, data = _lesson(taught)
    sha = files.sha256(taught.model)
    facts = {"faces": asdict(data.images.fingerprint()), "model": network.spec.to_dict(), "teacher": {"sha256": sha}}
    if run.begin("search", resolved, facts) and run.finished:
        return run.path
    torch.manual_seed(resolved.seed)
    prices, full = _prices(network.spec, resolved.runtime), Layout.parse(str(Layout.of(network)))
    budget = _budget(resolved, prices[resolved.cost], full)
    controls = {"uniform": uniform(full, budget)}  # before the search, since they tell at once if a budget is too small
    controls |= {f"random_{seed}": random_subgraph(full, budget, seed) for seed in range(resolved.random)}
    # Latency takes long to measure: the gates are led by the multiply-adds of the uniform network within the budget.
    latent = resolved.cost == "latency"
    led = Budget(prices["macs"], prices["macs"](controls["uniform"])) if latent else budget
    search = _search(run, resolved, network, taught.model, head.closed, data, led)
    threshold, left = largest(search.gates.layout, search.gates.thresholds(), budget)
    found = filled(left, full, budget)
    plans = {"teacher": full, "found": found, **controls}
    told = ["macs", "parameters", *(["latency"] if latent else [])]
    files.write_versioned(run.path / RESULT, "search", VERSION, {
        "teacher": {"run": resolved.teacher, "sha256": sha, **network.spec.to_dict()},
        "closed": head.closed, "cost": resolved.cost, "runtime": resolved.runtime if latent else None,
        "budget": budget.limit, "reached": budget.cost(found), "threshold": threshold, "seed": resolved.seed,
        "history": [{"epoch": epoch, "sparsity": sparsity, "macs" if latent else resolved.cost: cost}
                    for epoch, (sparsity, cost) in enumerate(search.history.tolist(), 1)],
        "students": {name: {"plan": str(layout), **{key: prices[key](layout) for key in told}}
                     for name, layout in plans.items()},
    })
    run.finish()
    return run.path


def show(out: Path | str) -> Path:
    """Draw the teacher and the student that was found in it, layer by layer, as ``search.svg`` beside the result.

    Raises:
        DataError: no finished search there.
    """
    result, folder = read_search(out), Path(out)
    teacher, found = (Layout.parse(result["students"][name]["plan"]) for name in ("teacher", "found"))
    factor, unit = {"macs": (1e6, "million multiply-adds"), "parameters": (1e6, "million parameters"),
                    "latency": (1, f"ms on {result['runtime']}")}[result["cost"]]
    costs = f"{result['reached'] / factor:.3g} of at most {result['budget'] / factor:.3g} {unit}"
    title = f"{result['teacher']['name']} and the student found in it: {costs}"
    files.write_text(folder / "search.svg", search_picture(teacher, found, title))
    return folder / "search.svg"


def next_steps(out: Path | str) -> list[str]:
    """The command lines that train the found student and its controls.

    Raises:
        DataError: no finished search there.
    """
    result = read_search(out)
    spec = result["teacher"]
    kind = "head.name=softmax" if result["closed"] else f"student.embedding={spec['outputs']}"
    same = f"{kind} student.size={spec['size']} student.pixels={spec['pixels']} student.name=resnet_found"
    return [f"facekd distill FACES PLAN runs/{name} {same} student.options.plan={student['plan']}"
            for name, student in result["students"].items() if name != "teacher"]


def read_search(out: Path | str) -> dict[str, Any]:
    """What a search found.

    Raises:
        DataError: no finished search there.
    """
    file = Path(out) / RESULT
    if not file.exists():
        raise DataError(f"{file} does not exist; run 'facekd search TEACHER {out}' to its end first")
    return files.read_versioned(file, "search", VERSION, DataError)


def _search(run: Run, recipe: SearchRecipe, network: ResNet, teacher: Path, closed: bool, data: TrainingSet,
            budget: Budget) -> Search:
    """The search, done."""
    machine, spec, schedule = Machine(recipe.machine), network.spec, recipe.schedule
    loader = Loader(data.images, spec.size, schedule.batch, recipe.seed, data.augmentation, recipe.machine.memory,
                    machine.device)
    steps = max(1, round(schedule.epochs * loader.steps))

    def rate(done: float) -> float:
        pace = recipe.pace / (1 - schedule.momentum)
        return pace * learning_rate(schedule, round(done * steps), steps, loader.steps)

    def moment(now: Moment) -> None:
        if now.reason == "last" or now.step % loader.steps == 0:
            search.epoch_ends(math.ceil(now.epoch))

    search = Search(copy.deepcopy(network), live_teacher(teacher, machine.device, machine.dtype),
                    recipe.temperature if closed else None, recipe.sparsity, recipe.blocks, budget, rate, recipe.pace,
                    math.ceil(schedule.epochs))
    Trainer(run, search, lambda stage: Stage(schedule.epochs), loader, schedule, recipe.machine, moment).fit()
    return search


def _budget(recipe: SearchRecipe, cost: Callable[[Layout], float], full: Layout) -> Budget:
    budget = Budget(cost, recipe.limit or recipe.share * cost(full))
    if budget.holds(full):
        raise ModelError(f"{recipe.teacher} costs {cost(full):.4g} and keeps to limit={budget.limit:.4g} as it is; set "
                         "it lower")
    return budget


def _searchable(network: Network, recipe: SearchRecipe) -> ResNet:
    if not isinstance(network, ResNet):
        raise ModelError(f"{recipe.teacher} holds {network.spec.name}; a search runs in the ResNets for CIFAR only "
                         "(resnet20, resnet32x4, ...)")
    if recipe.schedule.decay_all or recipe.schedule.optimizer != "sgd" or recipe.schedule.accumulate > 1:
        raise ModelError("the gates of a search follow plain SGD and must not decay: leave out schedule.decay_all, "
                         ".optimizer and .accumulate")
    return network


def _lesson(taught: Run) -> tuple[HeadRecipe, TrainingSet]:
    """What a run was trained as, and on."""
    recipe = recipe_of(taught.path, taught.info()["verb"])
    return recipe.head, open_training(recipe.faces, recipe.data, recipe.head.closed)


def _prices(spec: ModelSpec, runtime: str) -> dict[str, Callable[[Layout], float]]:
    """What a layout costs, by the names of recipes; latency in milliseconds, each layout timed once."""

    @cache
    def milliseconds(layout: Layout) -> float:
        network = create("resnet_found", size=spec.size, outputs=spec.outputs, plan=str(layout))
        if runtime == "torch":
            return latency(TorchEmbedder(network)).median_ms
        with tempfile.TemporaryDirectory() as folder:
            made = OnnxTarget().convert(freeze(network, Form(), "network"), "fp32", Path(folder))
            return latency(made.files[0]).median_ms

    return {"macs": lambda layout: layout.macs(spec.size, spec.outputs),
            "parameters": lambda layout: layout.parameters(spec.outputs), "latency": milliseconds}
