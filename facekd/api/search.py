"""``facekd search``: a student that is a subgraph of its teacher, within a budget."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch

from facekd.api.search_result import RESULT_FILE, SEARCHED, TEACHER, VERSION
from facekd.config import HeadRecipe, SearchRecipe
from facekd.config.loading import load_recipe, load_run_recipe
from facekd.data.loading.loader import Loader
from facekd.data.training_set import TrainingSet, open_training_set
from facekd.deploy.benchmark.latency import measure_latency
from facekd.deploy.source import ExportFormat, prepare_source
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.errors import ModelError
from facekd.io import files
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.methods.search.budget import (
    Budget,
    largest_within_budget,
    random_subgraph,
    uniform_subgraph,
    widen_to_budget,
)
from facekd.methods.search.method import ChannelSearch
from facekd.models.architectures.resnet_cifar import ResNet
from facekd.models.architectures.resnet_pruned import Layout
from facekd.models.registry import ModelSpec, Network, create
from facekd.models.torch_embedder import TorchEmbedder
from facekd.models.weights import load_model
from facekd.route.route import LICENSE_OF_TRAINED
from facekd.route.teacher import load_live_teacher
from facekd.run import Run
from facekd.training.lr_schedule import check_schedule, learning_rate
from facekd.training.machine import Machine
from facekd.training.method import CheckpointEvent, Stage
from facekd.training.trainer import Trainer

Cost = Callable[[Layout], float]


def search(teacher: Path | str | None = None, out: Path | str | None = None, *overrides: str,
           recipe: Path | str | None = None) -> Path:
    """Search a student inside its teacher within a budget, and draw controls at the same budget.

    See `facekd.methods.search.method`. The same call continues a search that was killed. `distill` trains the student
    afterwards, from random weights.

    Args:
        teacher: a run of train or distill whose model is a ResNet for CIFAR (recipe key ``teacher``).
        out: the run folder (recipe key ``out``).
        overrides: ``key=value`` strings for `facekd.config.SearchRecipe`, e.g. ``"budget_fraction=0.5"``.
        recipe: a YAML recipe.

    Returns:
        the run folder, with ``search.json``: budget, history of lambda, and the plans of the searched, uniform and
        random students.

    Raises:
        RecipeError: the recipe has mistakes.
        ModelError: the teacher cannot be searched, or no subgraph fits the budget.
        DataError: the teacher's training set does not exist any more.
        SetupError: the folder contains another run, cannot be written or is being written by another process, the disk
            is full, or the device does not exist.
    """
    paths = {"teacher": teacher, "out": out}
    resolved = load_recipe(SearchRecipe, Path(recipe) if recipe else None, overrides, paths)
    check_writable(resolved.out, folder=True)
    with lock_output(resolved.out):
        return _search(resolved)


def _search(resolved: SearchRecipe) -> Path:
    run = Run(Path(resolved.out))
    teacher_run = Run(Path(resolved.teacher))
    network = _check_searchable(load_model(teacher_run.model), resolved)
    head, data = _open_teacher_data(teacher_run)
    spec = network.spec
    teacher_sha256 = files.sha256(teacher_run.model)
    teacher_facts = {"name": f"{network.spec.name}, trained by facekd", "sha256": teacher_sha256,
                     "license": LICENSE_OF_TRAINED}
    fingerprint = asdict(data.images.fingerprint())
    facts = {"dataset": fingerprint, "model": spec.to_dict(), "teacher": teacher_facts}
    if run.begin("search", resolved, facts) and run.is_complete():
        return run.path
    torch.manual_seed(resolved.seed)
    costs = cost_functions(spec, resolved.runtime)
    full = Layout.parse(str(Layout.from_network(network)))
    budget = _resolve_budget(resolved, costs[resolved.cost], full)
    # The controls come before the search, because they fail at once if the budget is too small.
    controls = _draw_controls(full, budget, resolved.random_controls)
    gate_cost = resolved.cost
    gate_budget = budget
    if resolved.cost == "latency":
        # Latency is too slow to measure in every step: the gates follow the multiply-adds of the uniform control.
        gate_cost = "macs"
        gate_budget = Budget(costs["macs"], costs["macs"](controls["uniform"]))
    method = _train_gates(run, resolved, network, teacher_run.model, head.closed_set, data, gate_budget)
    threshold, subgraph = largest_within_budget(method.gates.layout, method.gates.thresholds(), budget)
    searched = widen_to_budget(subgraph, full, budget)
    reported_costs = ["macs", "parameters"] + (["latency"] if resolved.cost == "latency" else [])
    layouts = {TEACHER: full, SEARCHED: searched, **controls}
    files.write_versioned(run.path / RESULT_FILE, "search", VERSION, {
        "teacher": {"run": resolved.teacher, "sha256": teacher_sha256, **spec.to_dict()},
        "closed_set": head.closed_set, "cost": resolved.cost,
        "runtime": resolved.runtime if resolved.cost == "latency" else None,
        "budget": budget.limit, "reached": budget.cost(searched), "threshold": threshold, "seed": resolved.seed,
        "history": [{"epoch": epoch, "sparsity": sparsity, gate_cost: cost}
                    for epoch, (sparsity, cost) in enumerate(method.history.tolist(), 1)],
        "students": {name: _describe(layout, costs, reported_costs) for name, layout in layouts.items()},
    })
    run.finish()
    return run.path


def _train_gates(run: Run, recipe: SearchRecipe, network: ResNet, teacher: Path, closed_set: bool, data: TrainingSet,
                 budget: Budget) -> ChannelSearch:
    """Train the gates until the open ones fit the budget, and return the trained method."""
    machine = Machine(recipe.machine)
    training = recipe.training
    loader = Loader(data.images, network.spec.size, batch_size=training.batch_size, seed=recipe.seed,
                    augmentation=data.augmentation, decoded_cache_gib=recipe.machine.decoded_cache_gib,
                    device=machine.device)
    check_schedule(training, loader.steps_per_epoch)
    total_steps = round(training.epochs * loader.steps_per_epoch)

    def step_size(progress: float) -> float:
        """Return the effective step size of the gates, see `ChannelSearch`."""
        step = round(progress * total_steps)
        scale = recipe.gate_lr_scale / (1 - training.momentum)
        return scale * learning_rate(training, step, total_steps, loader.steps_per_epoch)

    def on_checkpoint(event: CheckpointEvent) -> None:
        """Call the method at the end of each epoch."""
        if event.reason == "last" or event.step % loader.steps_per_epoch == 0:
            method.on_epoch_end(math.ceil(event.epoch))

    method = ChannelSearch(copy.deepcopy(network), load_live_teacher(teacher, machine.device, machine.dtype),
                           temperature=recipe.temperature if closed_set else None, sparsity=recipe.sparsity,
                           drop_blocks=recipe.drop_blocks, budget=budget, step_size=step_size,
                           gate_lr_scale=recipe.gate_lr_scale, epochs=math.ceil(training.epochs))
    trainer = Trainer(run, method, lambda stage: Stage(training.epochs), loader, training, machine,
                      on_checkpoint=on_checkpoint)
    trainer.fit()
    return method


def _draw_controls(full: Layout, budget: Budget, random_controls: int) -> dict[str, Layout]:
    """Return the subgraphs without a search: all widths scaled alike, and random ones by their seed."""
    controls = {"uniform": uniform_subgraph(full, budget)}
    for seed in range(random_controls):
        controls[f"random_{seed}"] = random_subgraph(full, budget, seed)
    return controls


def _resolve_budget(recipe: SearchRecipe, cost: Cost, full: Layout) -> Budget:
    budget = Budget(cost, recipe.budget or recipe.budget_fraction * cost(full))
    if budget.allows(full):
        raise ModelError(f"{recipe.teacher} costs {cost(full):.4g}, which is within budget={budget.limit:.4g} already; "
                         "set it lower")
    return budget


def _check_searchable(network: Network, recipe: SearchRecipe) -> ResNet:
    if not isinstance(network, ResNet):
        raise ModelError(f"{recipe.teacher} holds {network.spec.name}; a search runs in the ResNets for CIFAR only "
                         "(resnet20, resnet32x4, ...)")
    training = recipe.training
    if training.decay_all or training.optimizer != "sgd" or training.gradient_accumulation_steps > 1:
        raise ModelError("the gates of a search follow plain SGD and must not decay: leave out training.decay_all, "
                         ".optimizer and .gradient_accumulation_steps")
    return network


def _open_teacher_data(teacher: Run) -> tuple[HeadRecipe, TrainingSet]:
    """Return the head recipe and the training set of the teacher's run."""
    recipe = load_run_recipe(teacher.path, teacher.info()["command"])
    return recipe.head, open_training_set(recipe.dataset, recipe.data, recipe.head.closed_set)


def cost_functions(spec: ModelSpec, runtime: str) -> dict[str, Cost]:
    """Return the costs of subgraphs by their recipe names; latency is in milliseconds, and measured once per layout.

    Args:
        spec: the teacher, whose input size and number of outputs its subgraphs share.
        runtime: the runtime of latency measurements, ``torch`` or ``onnxruntime``.
    """

    @cache
    def latency(layout: Layout) -> float:
        """Return the median latency of a subgraph."""
        network = create("resnet_pruned", size=spec.size, outputs=spec.outputs, plan=str(layout))
        if runtime == "torch":
            return measure_latency(TorchEmbedder(network)).median_ms
        with tempfile.TemporaryDirectory() as folder:
            source = prepare_source(network, ExportFormat(), "network")
            converted = OnnxTarget().convert(source, "fp32", Path(folder))
            return measure_latency(converted.files[0]).median_ms

    return {"macs": lambda layout: layout.count_macs(spec.size, spec.outputs),
            "parameters": lambda layout: layout.count_parameters(spec.outputs), "latency": latency}


def _describe(layout: Layout, costs: Mapping[str, Cost], names: list[str]) -> dict[str, Any]:
    return {"plan": str(layout), **{name: costs[name](layout) for name in names}}
