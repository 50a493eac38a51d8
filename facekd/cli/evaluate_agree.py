"""``facekd eval agree``: its options."""

from __future__ import annotations

import argparse

from facekd.cli.common import (
    Subparsers,
    add_command,
    add_device_option,
    add_input_options,
    add_result_options,
    add_set_options,
    input_options,
    parse_input,
)
from facekd.utils.console import console


def add_agree(evaluations: Subparsers) -> None:
    """Add ``eval agree``."""
    parser = add_command(
        evaluations, "agree", _agree, "how closely a student follows its teacher, on images without labels",
        "facekd eval agree runs/student w600k_mbf.onnx crops\n"
        "  facekd eval agree packages/phone runs/teacher crops --sheet worst.jpg --json agree.json\n\n"
        "cosine to the teacher: only if both embeddings have the same length\n"
        "rank correlation: of the similarities of pairs of images, whatever the lengths\n"
        "decisions: pairs that the two models decide differently at the teacher's threshold, which is given, kept\n"
        "with the teacher by 'facekd eval verify', or the one that has the rate of --far on these images. Without\n"
        "labels all pairs of the images count as different people for that.")
    parser.add_argument("student", help="run folder, .safetensors, package folder, or .onnx")
    parser.add_argument("teacher", help="the model that it follows, of any kind and embedding length")
    parser.add_argument("images", help="a face set of aligned crops, with or without labels, that trained neither")
    parser.add_argument("--threshold", type=float, help="similarity above which the teacher accepts a pair")
    parser.add_argument("--far", nargs="+", dest="fars", metavar="RATE",
                        help="false accept rates of the thresholds (default 1e-3 1e-4)")
    parser.add_argument("--result", metavar="FILE", help="a file of 'facekd eval verify --json FILE' with the teacher")
    parser.add_argument("--pairs", type=int, default=500_000, metavar="N",
                        help="largest number of pairs; of more a random sample is compared (default 500000)")
    parser.add_argument("--sheet", metavar="FILE", help="write the images on which both differ most to this JPEG (a "
                        "run has it in results/)")
    parser.add_argument("--no-flip", dest="flip", action="store_false",
                        help="do not add the embedding of the mirrored image")
    add_set_options(parser)
    add_input_options(parser)
    parser.add_argument("--teacher-input", nargs="+", metavar="KEY=VALUE", help="how an .onnx of TEACHER is fed, by "
                        "the names of the options of STUDENT, e.g. pixels=raw channels=bgr")
    add_device_option(parser)
    add_result_options(parser)


def _agree(args: argparse.Namespace) -> int:
    from facekd.api.evaluate.agree import FARS, agree

    result = agree(args.student, args.teacher, args.images, threshold=args.threshold, fars=args.fars or FARS,
                   result=args.result, pairs=args.pairs, labels=args.labels, root=args.root,
                   json=args.json, sheet=args.sheet, flip=args.flip,
                   device=args.device, name=args.name,
                   teacher_options=parse_input(args.teacher_input, "--teacher-input"), **input_options(args))
    console().print(result.describe())
    return 0

