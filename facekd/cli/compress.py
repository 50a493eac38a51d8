"""The command ``facekd compress``."""

from __future__ import annotations

import argparse

from facekd.cli.common import (
    Subparsers,
    add_command,
    add_detector_option,
    add_device_option,
    add_input_options,
    input_options,
)
from facekd.utils.console import console


def add_compress_command(subparsers: Subparsers) -> None:
    """Add the command of this module."""
    parser = add_command(
        subparsers, "compress", _compress, "a smaller model in the space of a teacher, from photographs without labels",
        "facekd compress w600k_r50.onnx photos out --detector yunet.onnx\n"
        "  facekd compress teacher.onnx crops out --budget 0.6MB --minutes 30\n"
        "  facekd compress teacher.onnx crops out --macs 100M --pairs pairs.csv --images test\n\n"
        "Takes the cheapest way that meets the budget: the teacher in a smaller precision; a part of the teacher\n"
        "with its own weights; a fresh student. Aligns photographs, caches the teacher's embeddings once, trains,\n"
        "calibrates, exports, compares every file with the teacher on held-out crops, and writes OUT/report.html\n"
        "with the commands that it amounts to. The same command continues after an interruption.")
    parser.add_argument("teacher", help="an .onnx, a run folder, or a folder of InsightFace's models")
    parser.add_argument("photos", nargs="+", help="photographs or aligned crops: folders, lists of paths, packed sets; "
                        "labels are not used")
    parser.add_argument("out", help="the folder of the compression")
    budget = parser.add_argument_group("budget of the shipped file (default: --budget 1MB)")
    budget.add_argument("--budget", metavar="SIZE", help="its size, e.g. 1MB or 600kB")
    budget.add_argument("--macs", metavar="N", help="its multiply-adds for one face, e.g. 100M")
    budget.add_argument("--latency", metavar="TIME", help="its time for one face here on one thread, e.g. 5ms")
    length = parser.add_argument_group("length of the training (default: 300,000 images seen)")
    length.add_argument("--epochs", type=float, metavar="N", help="passes over the crops")
    length.add_argument("--minutes", type=float, metavar="M", help="its time here; the speed is measured first")
    parser.add_argument("--pairs", metavar="FILE", help="a pair list on which every file is verified, also against a "
                        "gallery of the teacher")
    parser.add_argument("--images", metavar="FOLDER", help="root folder of the paths in the pair list")
    layout = parser.add_mutually_exclusive_group()
    layout.add_argument("--aligned", action="store_true", default=None, help="PHOTOS are aligned crops (default: "
                        "square images of one size up to 160 px are)")
    layout.add_argument("--photographs", action="store_false", dest="aligned", help="PHOTOS are photographs")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training (default 0)")
    add_detector_option(parser)
    add_device_option(parser)
    add_input_options(parser)


def _compress(args: argparse.Namespace) -> int:
    from facekd.api.compress.compress import compress

    result = compress(args.teacher, args.photos, args.out, budget=args.budget, macs=args.macs, latency=args.latency,
                      epochs=args.epochs, minutes=args.minutes, detector=args.detector, aligned=args.aligned,
                      pairs=args.pairs, images=args.images, device=args.device, seed=args.seed, **input_options(args))
    console().print(result.answer)
    console().print(f"report: {result.report}")
    return 0 if result.meets_budget else 1
