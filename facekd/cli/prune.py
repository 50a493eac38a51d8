"""The command ``facekd prune``."""

from __future__ import annotations

import argparse

from facekd.cli.common import Subparsers, add_command, add_input_options, input_options
from facekd.utils.console import console


def add_prune_command(subparsers: Subparsers) -> None:
    """Add the command of this module."""
    parser = add_command(
        subparsers, "prune", _prune, "a smaller network with the weights of a teacher, from faces without labels",
        "facekd prune teacher.onnx crops half.safetensors --share 0.5\n"
        "  facekd prune runs/teacher/model.safetensors crops quarter.safetensors --share 0.25\n\n"
        "Removes the channels that change the embedding least, and fits the remaining weights to the maps of the\n"
        "teacher. Nothing is trained. A distillation recovers most of what is lost:\n"
        "  facekd distill crops plan.json runs/half student.weights=half.safetensors method=cosine \\\n"
        "    training.optimizer=adamw training.learning_rate=0.001")
    parser.add_argument("teacher", help="a .safetensors file of facekd, or the .onnx of a recognizer")
    parser.add_argument("dataset", help="aligned faces; their labels are not used")
    parser.add_argument("out", help="the .safetensors file to write")
    parser.add_argument("--share", type=float, metavar="S",
                        help="multiply-adds that may remain, as a share of the teacher's (default 0.5)")
    parser.add_argument("--weight-share", type=float, metavar="S",
                        help="weights that may remain, as a share of the teacher's; alone or beside --share")
    parser.add_argument("--images", type=int, default=384, help="number of images to use (default 384)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of images (default 0)")
    add_input_options(parser)


def _prune(args: argparse.Namespace) -> int:
    from facekd.api.prune import prune_teacher
    from facekd.models.complexity import count_macs, count_parameters

    share = 0.5 if args.share is None and args.weight_share is None else args.share
    shares = {"share": share, "weight_share": args.weight_share}
    pruned = prune_teacher(args.teacher, args.dataset, args.out, images=args.images, seed=args.seed,
                           **{name: value for name, value in shares.items() if value is not None},
                           **input_options(args))
    macs = count_macs(pruned, pruned.spec.size) / 1e6
    console().print(f"{args.out}: {macs:.1f} million multiply-adds, {count_parameters(pruned):,} parameters; next: "
                    f"facekd distill DATASET PLAN OUT student.weights={args.out} method=cosine")
    return 0
