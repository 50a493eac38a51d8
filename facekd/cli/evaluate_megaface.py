"""The command ``facekd eval megaface``."""

from __future__ import annotations

import argparse
from typing import Any

from facekd.cli.common import (
    Subparsers,
    add_command,
    add_model_options,
    add_result_options,
    input_options,
)
from facekd.cli.gallery_model import add_gallery_model_options, gallery_options
from facekd.errors import FacekdError
from facekd.utils.console import console

ACROSS_HELP = ("without --model: the features are meant to be of two models, of which one was trained for the "
               "embeddings of the other; without this option that is refused")


def add_megaface(evaluations: Subparsers) -> None:
    """Add ``eval megaface`` to the subcommands of ``eval``."""
    parser = add_command(
        evaluations, "megaface", _megaface, "rank-1, CMC and TAR at FAR among any number of distractors",
        "facekd eval megaface --model runs/student --probes faces/probes --distractors faces/distractors\n"
        "  facekd eval megaface --probes probes.npy --distractors million.npy --json student.json\n"
        "  facekd eval megaface --probes feature_out/facescrub --distractors feature_out/megaface \\\n"
        "      --template-lists templatelists --suffix _r50.bin --noise-lists noises --out results   (kit files)\n"
        "  facekd eval megaface --compare student.json teacher.json\n"
        "  facekd eval megaface --model runs/student --gallery-model teacher.onnx --probes ... --distractors ...\n"
        "  torchrun --nproc-per-node 8 eval/megaface.py --probes ... --json ...         (8 processes)")
    add_model_options(parser, required=False)
    formats = "a face set; without --model features: .npy, .safetensors, or the kit's tree of .bin files"
    parser.add_argument("--probes", help=f"the probes, two or more images per identity: {formats}")
    parser.add_argument("--distractors", help=f"images of other identities: {formats}")
    parser.add_argument("--template-lists",
                        help="the kit's folder templatelists: the probes with their identities, and the distractors")
    parser.add_argument("--suffix", help="suffix of the kit's feature files after the image path, e.g. _r50.bin")
    parser.add_argument("--sizes", type=int, nargs="+", default=[],
                        help="with --template-lists: numbers of distractors, e.g. 10 1000 1000000 (default: all lists)")
    parser.add_argument("--set", type=int, dest="set_index", metavar="NUMBER",
                        help="with --template-lists: number of the set of distractors (default 1)")
    parser.add_argument("--noise-lists", help="folder with facescrub_noises.txt and megaface_noises.txt")
    parser.add_argument("--noise-mode", choices=["all", "raw", "compatible", "strict"],
                        help="with --noise-lists: raw; compatible (as in InsightFace, the (R) in papers, optimistic); "
                        "strict (noisy images are dropped); default all, in one table")
    parser.add_argument("--int8", action="store_true", help="also int8 probes among float and among int8 distractors")
    parser.add_argument("--across", action="store_true", help=ACROSS_HELP)
    parser.add_argument("--features", help="with --model: folder for the embeddings; a second call continues or reuses "
                        "them")
    parser.add_argument("--out", help="folder for the kit's cmc_*.json and matches_*.json")
    parser.add_argument("--compare", nargs=2, metavar="RESULT.json",
                        help="test whether two results differ instead: paired bootstrap over identities")
    add_gallery_model_options(parser)
    add_result_options(parser)


def _megaface(args: argparse.Namespace) -> int:
    from facekd.api.evaluate.megaface import megaface

    if args.compare:
        return _compare_models(args)
    gallery = gallery_options(args, {"suffix": args.suffix, "int8": args.int8 or None, "out": args.out,
                                     "across": args.across or None})
    if args.gallery_model:
        return _megaface_across(args, gallery)
    results = megaface(
        args.model, args.probes, args.distractors, template_lists=args.template_lists, suffix=args.suffix,
        sizes=args.sizes, set_index=args.set_index, noise_lists=args.noise_lists, noise_mode=args.noise_mode,
        int8=args.int8, features=args.features, out=args.out, json=args.json, across=args.across, flip=args.flip,
        device=args.device, name=args.name, **input_options(args),
    )
    if len(results) == 1:
        console().print(next(iter(results.values())).describe())
    elif results:
        from facekd.reporting.tables.identification import identification_notes, identification_table

        console().print(identification_table(results), soft_wrap=False)
        for note in identification_notes(results):
            console().print(note)
    return 0


def _megaface_across(args: argparse.Namespace, gallery: dict[str, Any]) -> int:
    from facekd.api.across.megaface import megaface_across

    if args.probes is None or args.distractors is None:
        raise FacekdError("give --probes and --distractors: face sets, which both models embed")
    results = megaface_across(
        args.model, args.gallery_model, args.probes, args.distractors, template_lists=args.template_lists,
        sizes=args.sizes, set_index=args.set_index, noise_lists=args.noise_lists, noise_mode=args.noise_mode,
        features=args.features, json=args.json, flip=args.flip, device=args.device, name=args.name, **gallery,
        **input_options(args))
    for title, result in results.items():
        console().print(f"{title}\n{result.describe()}" if len(results) > 1 else result.describe())
    return 0


def _compare_models(args: argparse.Namespace) -> int:
    from facekd.api.evaluate.compare_models import compare_models

    defaults = {"command": args.command, "run": args.run, "compare": args.compare, "flip": True, "device": "auto"}
    others = [name for name, value in vars(args).items() if value != defaults.get(name) and value not in (False, [])]
    if not args.flip or others:
        raise FacekdError("--compare takes two result files and no other option; measure first, then compare")
    for difference in compare_models(*args.compare):
        console().print(difference.describe())
    return 0
