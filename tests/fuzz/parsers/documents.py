"""Recipes, routes, plans and run folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facekd.config import DistillRecipe, SearchRecipe, TrainRecipe
from facekd.config.loading import dump_recipe, load_recipe, load_run_recipe, recipe_differences
from facekd.methods.objective import parse_objective
from facekd.preflight.checks import check_run_folder
from facekd.preflight.job import open_job
from facekd.route.plan import Growth, Plan, PlanStage
from facekd.route.route import Point, Route
from facekd.run import Run
from tests.fuzz.parser import Files, Parser, collect
from tests.fuzz.parsers.networks import tiny_network
from tests.fuzz.parsers.pictures import picture

RECIPE = """\
# a student
dataset: faces/train
plan: plan.json
out: runs/student
seed: 3
student: {name: mobilefacenet, size: 112, embedding: 512, options: {width: 0.5}}
method: kd
losses: {l2: {weight: 40}, labels: {weight: 1.0}}
training:
  epochs: 20
  batch_size: 128
  learning_rate: 0.1
  lr_schedule: step
  milestones: [0.5, 0.8]
machine: {device: auto, threads: 2}
"""
OVERRIDES = ("dataset=faces", "plan=p.json", "out=runs/x", "training.epochs=5", "training.milestones=[0.5, 0.8]",
             "student={name: resnet20, size: 32}", "losses.l2.weight=0.9", "seed=7", "machine.device=cpu",
             "head.scale=64")


def _recipe_seeds(folder: Path) -> Sequence[Files]:
    resolved = dump_recipe(load_recipe(DistillRecipe, None, OVERRIDES))
    teacher = dump_recipe(load_recipe(TrainRecipe, None, ["dataset=faces", "out=run"]))
    search = dump_recipe(load_recipe(SearchRecipe, None, ["teacher=runs/t", "out=run"]))
    return [{"distill.yaml": RECIPE.encode()}, {"distill.yaml": resolved.encode()}, {"train.yaml": teacher.encode()},
            {"search.yaml": search.encode()}]


def _read_recipe(folder: Path) -> None:
    kinds: Mapping[str, Any] = {"distill": DistillRecipe, "train": TrainRecipe, "search": SearchRecipe}
    (file, *_) = [*folder.glob("*.yaml"), folder / "train.yaml"]
    recipe = load_recipe(kinds[file.stem], file, ())
    dump_recipe(recipe)
    if isinstance(recipe, DistillRecipe):
        parse_objective(recipe.method, recipe.losses, recipe.head.closed_set)


def _read_overrides(folder: Path) -> None:
    """Each line is an argument of the command line."""
    file = folder / "overrides.txt"
    content = file.read_bytes().decode("utf-8", "surrogateescape") if file.exists() else ""
    recipe = load_recipe(DistillRecipe, None, content.replace("\0", "").split("\n"))
    dump_recipe(recipe)
    parse_objective(recipe.method, recipe.losses, recipe.head.closed_set)


def write_route(folder: Path) -> Route:
    """Write a route of two points."""
    network = tiny_network()
    route = Route(folder / "route", network.spec)
    for step in (5, 10):
        route.record(network, step, step / 5, 0.1, "epoch", {"loss": 1.5})
    return route


def _plan_seeds(folder: Path) -> Sequence[Files]:
    route = write_route(folder)
    seeds = []
    stages = [PlanStage((0,), "first", 0.5), PlanStage((0, 1), "mean of two", 0.5)]
    plans = (Plan(route.folder, "manual", stages), Plan(route.folder, "greedy", [], Growth(0.9, 0.25)),
             Plan(route.folder, "manual", stages, rotations={0: np.eye(4, dtype=np.float32)}))
    for plan in plans:
        plan.write(folder / "plan.json")
        seeds.append(collect(folder))
    return seeds


def _read_plan(folder: Path) -> None:
    plan, route = Plan.read(folder / "plan.json")
    route.point_file(plan.first_points(route)[0])
    plan.write(folder / "again.json")
    Route(folder / "copy", route.spec, [Point(**vars(point)) for point in route.points]).write()


def _run_seeds(folder: Path) -> Sequence[Files]:
    run = Run(folder)
    recipe = load_recipe(TrainRecipe, None, ["dataset=faces", "out=run"])
    run.begin("train", recipe, {"dataset": {"content": "ab", "classes": 2, "images": 9}, "model": {"name": "mlp"}})
    lines = [{"step": step, "epoch": step / 10, "stage": 0, "learning_rate": 0.1, "loss": 2.5}
             for step in range(10, 60, 10)]
    run.log_file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    first = collect(folder)
    run.finish(parameters=10)
    return [first, collect(folder)]


def _read_run(folder: Path) -> None:
    run = Run(folder)
    info = run.info()
    run.finished  # noqa: B018 (reads run.json)
    run.read_log()
    recipe_differences(folder / "recipe.yaml", load_recipe(TrainRecipe, None, ["dataset=faces", "out=run"]))
    load_run_recipe(folder, info["command"])
    (folder / "copy").mkdir()
    for name in ("run.json", "recipe.yaml", "log.jsonl"):
        (folder / "copy" / name).write_bytes((folder / name).read_bytes() if (folder / name).exists() else b"")
    Run(folder / "copy").truncate_log(30)


def _job_seeds(folder: Path) -> Sequence[Files]:
    images = {f"faces/{person}/{number}.png": picture(number) for person in ("anna", "bea") for number in range(2)}
    run = {f"run/{name}": content for name, content in _run_seeds(folder)[0].items()}
    recipe = b"model: {name: mlp, size: 32, embedding: 8}\ntraining: {epochs: 3, batch_size: 4}\nseed: 1\n"
    return [{**images, **run, "recipe.yaml": recipe}]


def _read_job(folder: Path) -> None:
    job = open_job(folder / "recipe.yaml", [f"dataset={folder / 'faces'}", f"out={folder / 'run'}"], 1)
    list(check_run_folder(job))


PARSERS = [
    Parser("recipe_yaml", ["config/loading.py", "io/documents.py"], _recipe_seeds, _read_recipe, {"*.yaml": "yaml"},
           lines=200),
    Parser("recipe_overrides", ["config/loading.py"],
           lambda folder: [{"overrides.txt": "\n".join(OVERRIDES).encode()}], _read_overrides, {"*.txt": "text"},
           lines=200),
    Parser("route_plan_json", ["route/plan.py", "route/route.py", "route/rotation.py", "io/files.py"],
           _plan_seeds, _read_plan,
           {"plan.json": "json", "route/route.json": "json", "plan.rotations.safetensors": "safetensors"},
           scratch=["again.json", "again.rotations.safetensors", "copy"]),
    Parser("run_folder", ["run.py", "io/training_log.py"], _run_seeds, _read_run,
           {"*.json": "json", "*.yaml": "yaml", "*.jsonl": "json"}, scratch=["copy"], lines=200),
    Parser("preflight", ["preflight/job.py", "preflight/checks.py"], _job_seeds, _read_job,
           {"recipe.yaml": "yaml", "run/run.json": "json", "run/recipe.yaml": "yaml"}, lines=200),
]
