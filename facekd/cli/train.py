"""The commands for training: train, plan, route import, distill, search, prune, methods."""

from __future__ import annotations

import argparse
from pathlib import Path

from facekd.cli.common import (
    Subparsers,
    add_command,
    add_input_options,
    add_recipe_arguments,
    input_options,
    split_overrides,
)
from facekd.cli.prune import add_prune_command
from facekd.errors import FacekdError
from facekd.text import printable
from facekd.utils.console import console

DEFAULT_STRATEGY = "progress"
STRATEGY_HELP = {
    "equal": "points at equal distance along the route, the last one the end",
    "progress": "points with equal parts of the gain of the teacher's metric on held-out images (default)",
    "change": "points with equal parts of the net change of the teacher's outputs; needs no labels",
    "greedy": "chosen by the student during its training, see --delta",
    "plateau": "the last point before each drop of the teacher's learning rate, and the end",
    "final": "the end of the route; with several anchors the restart control of RCO",
    "mean": "the mean of the outputs of the points of 'equal', in one stage",
    "manual": "the given points (--points), or stages of another plan (--stages and --of)",
}
"""One line on each strategy of ``facekd plan``."""


def add_training_commands(subparsers: Subparsers) -> None:
    """Add the commands of this module."""
    _add_train(subparsers)
    _add_plan(subparsers)
    _add_route_import(subparsers)
    _add_distill(subparsers)
    _add_search(subparsers)
    add_prune_command(subparsers)
    _add_methods(subparsers)


def _add_train(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "train", _train, "train a network on labels under a head, and record its route",
        "facekd train faces/train runs/teacher model.name=iresnet50\n"
        "  facekd train faces/train runs/small model.name=mobilenetv2 'model.options={width: 0.5}' "
        "model.embedding=128\n"
        "  facekd train --recipe runs/teacher/recipe.yaml   (continues the run; with out=NEW repeats it)\n\n"
        "keys: model.name .size .embedding .normalization .options, head.name .scale .margin .sub_centers .options,\n"
        "  training.epochs .batch_size .learning_rate .lr_schedule .warmup_epochs .warmup_steps .milestones\n"
        "  .optimizer .gradient_accumulation_steps .ema_decay, data.classes .val_fraction .augmentation.*,\n"
        "  route.every_epochs, machine.device .precision .activation_checkpointing .compile .threads, seed\n"
        "  (docs/training.md)")
    add_recipe_arguments(parser, "DATASET OUT")


def _train(args: argparse.Namespace) -> int:
    from facekd.api.train import train

    overrides, paths = split_overrides(args.arguments, 2, "DATASET OUT")
    run = train(*paths, *overrides, recipe=args.recipe)
    if (run / "route" / "route.json").exists():
        console().print(f"{run}: model.safetensors and route/ are written; next: facekd plan {run} plan.json")
    else:
        console().print(f"{run}: model.safetensors is written; next: {_evaluation_command(run, 'train')}")
    return 0


def _evaluation_command(run: Path, command: str) -> str:
    """Return the command that measures a run of train or distill: of faces, or of classes under a softmax head."""
    from facekd.config.loading import load_run_recipe

    if (run / "recipe.yaml").is_file() and load_run_recipe(run, command).head.closed_set:
        return f"facekd eval cifar --model {run} --data CLASSES (or eval imagenet)"
    return f"facekd eval verify --model {run} --pairs FILE --images ROOT"


def _add_plan(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "plan", _plan, "choose the anchors of a route that a student will follow",
        "facekd plan runs/teacher plans/rco.json --strategy equal --anchors 4\n"
        "  facekd plan runs/teacher plans/progress.json --strategy progress --anchors 4\n"
        "  facekd plan runs/teacher plans/final.json --strategy final --anchors 1     (plain mimicking)\n"
        "  facekd plan runs/teacher plans/restarts.json --strategy final --anchors 4  (RCO's restart control)\n"
        "  facekd plan runs/teacher plans/late.json --strategy manual --stages 2 3 --of plans/rco.json\n"
        "  facekd plan runs/teacher plans/final.json --strategy final --anchors 1 --show --student runs/kd\n"
        "                                             (does the student need a route?)\n\n"
        "strategies:\n" + "\n".join(f"  {name:<10}{text}" for name, text in STRATEGY_HELP.items()))
    parser.add_argument("route", help="a run of train, or a route folder")
    parser.add_argument("out", help="the plan.json to write")
    parser.add_argument("--strategy", default=DEFAULT_STRATEGY, metavar="NAME",
                        help=f"the rule that chooses the anchors, see below (default {DEFAULT_STRATEGY})")
    parser.add_argument("--anchors", type=int,
                        help="number of stages (default 4); for greedy, progress and change the maximum")
    parser.add_argument("--delta", type=float,
                        help="greedy: the next anchor is the last one whose gradient agreement on held-out images is "
                        "at least delta times the highest one, then that of the current anchor (default 0.5)")
    parser.add_argument("--points", type=int, nargs="*", default=[], help="manual: point numbers, from early to late")
    parser.add_argument("--stages", type=int, nargs="+", default=[], metavar="STAGE",
                        help="manual: the anchors of these stages of another plan, from 0, in place of --points")
    parser.add_argument("--of", metavar="PLAN", help="with --stages: that plan")
    parser.add_argument("--aligned", action="store_true",
                        help="embeddings: rotate every anchor into the basis of the end of the route")
    parser.add_argument("--show", action="store_true",
                        help="also print and draw the route: learning rate, the teacher's metric, congruence, anchors")
    parser.add_argument("--student", help="with --show: a run whose student is compared with every point, e.g. one of "
                        "plain distillation; tells whether the premise of RCO holds for it")


def _plan(args: argparse.Namespace) -> int:
    from facekd.api.plan import plan, stage_points

    if bool(args.stages) != bool(args.of) or (args.stages and args.points):
        raise FacekdError("--stages and --of go together, and replace --points")
    if args.student and not args.show:
        raise FacekdError("--student is compared by --show; give --show as well, or leave --student out")
    points = stage_points(args.of, args.stages) if args.of else args.points
    chosen = plan(args.route, args.out, strategy=args.strategy, anchors=args.anchors, points=points, delta=args.delta,
                  aligned=args.aligned)
    for number, stage in enumerate(chosen.stages):
        numbers = ", ".join(map(str, stage.points))
        console().print(f"stage {number}: point {numbers}, {stage.share:.0%} of the epochs ({stage.reason})")
    if chosen.growth:
        console().print("the stages are chosen while the student is trained (data.val_fraction=0.05)")
    if args.show:
        _show_plan(args)
    console().print(f"{args.out}: written; next: facekd distill DATASET {args.out} OUT")
    return 0


def _show_plan(args: argparse.Namespace) -> None:
    from facekd.api.plan import show_plan
    from facekd.reporting.plots.route import route_table

    profiles, picture, diagnosis = show_plan(args.out, args.student)
    console().print(route_table(profiles), soft_wrap=False)
    if diagnosis is not None:
        console().print(diagnosis.describe())
    console().print(f"{picture}: the picture")


def _add_route_import(subparsers: Subparsers) -> None:
    route = subparsers.add_parser("route", help="make a route of an existing teacher").add_subparsers(required=True)
    parser = add_command(
        route, "import", _route_import, "make a route of arcface_torch checkpoints, or of one InsightFace ONNX",
        "facekd route import epoch10.pt epoch20.pt routes/r50 --model iresnet50\n"
        "  facekd route import w600k_r50.onnx routes/buffalo --images crops\n"
        "  facekd route import mine.onnx routes/mine --pixels raw --channels bgr     (docs/deploy.md)")
    parser.add_argument("files", nargs="+", help="checkpoints in the order of training, or one .onnx")
    parser.add_argument("out", help="the route folder to write")
    parser.add_argument("--model", help="architecture of the checkpoints, e.g. iresnet50; not needed for an ONNX")
    parser.add_argument("--outputs", type=int, metavar="NUMBER", help="length of the embeddings, or number of classes, "
                        "of the checkpoints (default: read from the last layer)")
    parser.add_argument("--normalization", help="pixel normalization of the checkpoints: unit (default, faces), "
                        "cifar10, cifar100, imagenet")
    parser.add_argument("--images", help="a face set: check on up to 64 of its images whether the teacher tells people "
                        "apart, and whether it would do so better if it were fed in another way")
    parser.add_argument("--license", metavar="TEXT", help="license of the teacher, e.g. 'CC-BY-NC-4.0', which the "
                        "packages of its students state (default: what the file, or a LICENSE beside it, says)")
    add_input_options(parser, size_help="side of the input: of checkpoints (default 112), or if the graph leaves it "
                      "open")


def _route_import(args: argparse.Namespace) -> int:
    from facekd.api.import_route import import_route

    route = import_route(args.files, args.out, model=args.model, outputs=args.outputs, images=args.images,
                         normalization=args.normalization, license=args.license, **input_options(args))
    console().print(f"{route.folder}: {len(route.points)} points, license of the teacher: "
                    f"{printable(route.describe_teacher()['license'])}; "
                    f"next: facekd plan {route.folder} plan.json --strategy final --anchors 1")
    return 0


def _add_distill(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "distill", _distill, "train a student along the anchors of a plan",
        "facekd distill faces/train plans/rco.json runs/student student.name=mobilefacenet\n"
        "  facekd distill --recipe runs/student/recipe.yaml   (continues the run; with out=NEW repeats it)\n\n"
        "keys: student.name .size .embedding .options .normalization .weights .compatible, method ('facekd methods'),\n"
        "  losses.NAME (labels or a loss; .weight .begin .end and its options), joint_teacher.*, feature_layers.*,\n"
        "  training.*, head.*, data.classes .val_fraction .augmentation.*, held_out_images,\n"
        "  route.every_epochs, teacher_cache (float16, float32, off), machine.*, seed (docs/training.md)")
    add_recipe_arguments(parser, "DATASET PLAN OUT")


def _distill(args: argparse.Namespace) -> int:
    from facekd.api.distill import distill

    overrides, paths = split_overrides(args.arguments, 3, "DATASET PLAN OUT")
    run = distill(*paths, *overrides, recipe=args.recipe)
    console().print(f"{run}: model.safetensors is written; next: {_evaluation_command(run, 'distill')}")
    return 0


def _add_search(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "search", _search, "search a student inside a trained ResNet for CIFAR, within a budget",
        "facekd search runs/teacher runs/search budget_fraction=0.5      (of the multiply-adds)\n"
        "  facekd search runs/teacher runs/quick cost=latency runtime=onnxruntime budget=1.5   (milliseconds)\n"
        "  facekd search runs/search --show                      (teacher and student, layer by layer)\n"
        "  facekd search runs/search --list-students             (name and plan of each, for a script)\n\n"
        "The gates on the teacher's channels and blocks shrink until the open ones fit the budget. search.json holds\n"
        "the plan of the student, and of controls at the same budget: uniform width and random subgraphs. Train them\n"
        "with 'facekd distill'. Only the ResNets for CIFAR (resnet20, resnet32x4, ...) can be searched.\n\n"
        "keys: cost (macs, parameters, latency), budget_fraction, budget, runtime (onnxruntime, torch), temperature,\n"
        "  sparsity, gate_lr_scale, drop_blocks, random_controls, training.*, machine.*, seed")
    add_recipe_arguments(parser, "TEACHER OUT")
    parser.add_argument("--show", action="store_true", help="draw the result; with OUT alone nothing is searched")
    parser.add_argument("--list-students", action="store_true",
                        help="with OUT alone: print name and plan of the student and of each control")


def _search(args: argparse.Namespace) -> int:
    from facekd.api.search import search
    from facekd.api.search_result import distill_commands, draw_search, list_students

    overrides, paths = split_overrides(args.arguments, 2, "TEACHER OUT")
    finished_only = len(paths) == 1 and not overrides
    if args.list_students:
        if not finished_only:
            raise FacekdError("--list-students takes the folder of a finished search and nothing else")
        for name, plan in list_students(paths[0]).items():
            console().print(f"{name} {plan}")
        return 0
    if args.show and finished_only:
        console().print(f"{draw_search(paths[0])}: the picture")
        return 0
    run = search(*paths, *overrides, recipe=args.recipe)
    console().print(f"{run / 'search.json'}: written; "
                    "next, with the plan of one teacher ('facekd plan --strategy final'):")
    for line in distill_commands(run):
        console().print(line)
    if args.show:
        console().print(f"{draw_search(run)}: the picture")
    return 0


def _add_methods(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "methods", _methods, "list the losses, online methods and routes that can train a student",
        "facekd methods\n  facekd methods show dkd        (equation, default weight, options, recipe line)")
    show = add_command(
        parser.add_subparsers(), "show", _methods_show, "show one method: paper, equation, weight, options",
        "facekd methods show dkd\n  facekd methods show kd+rkd")
    show.add_argument("name", help="a name that 'facekd methods' lists; join several by +")


def _methods(args: argparse.Namespace) -> int:
    from facekd.api.methods import EXCLUDED_METHODS, list_methods
    from facekd.reporting.tables.methods import methods_table

    console().print(methods_table(list_methods()), soft_wrap=False)
    console().print("left out: " + "; ".join(f"{name} ({reason})" for name, reason in EXCLUDED_METHODS.items()))
    console().print("'facekd methods show NAME' prints equation, weight, options and recipe line; "
                    "join names by +: method='kd + rkd'")
    return 0


def _methods_show(args: argparse.Namespace) -> int:
    from facekd.api.methods import show_method

    console().print(show_method(args.name))
    return 0
