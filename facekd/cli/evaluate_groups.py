"""``facekd eval groups``: its options."""

from __future__ import annotations

import argparse

from facekd.cli.common import Subparsers, add_command, add_model_options, add_result_options, input_options
from facekd.utils.console import console


def add_groups(evaluations: Subparsers) -> None:
    """Add ``eval groups``."""
    parser = add_command(
        evaluations, "groups", _groups, "false match and non-match rates by groups of people, at the shipped threshold",
        "facekd eval groups --model packages/phone --pairs pairs.csv --images faces --groups groups.csv\n"
        "  facekd eval groups --model runs/student --pairs RFW/test --far 1e-4\n"
        "  facekd eval groups --model w600k_mbf.onnx --pairs bfw-v0.1.5-datatable.csv --images bfw --threshold 0.3\n\n"
        "groups: the column 'group' of a pair CSV; --groups; the folder of RFW (txts/RACE/RACE_pairs.txt, data/RACE);\n"
        "or the table of BFW. False matches are counted on all pairs of images of different people of one group.")
    add_model_options(parser)
    parser.add_argument("--pairs", required=True, help="pair CSV with the column group, RFW's folder, or BFW's table; "
                        "with --groups any list of files")
    parser.add_argument("--images", help="root folder of the paths in the pair list (not for RFW)")
    parser.add_argument("--groups", dest="group_file", metavar="FILE", help="CSV path,group or identity,group")
    parser.add_argument("--far", help="false accept rate (default 1e-3) whose threshold is kept with the model: in a "
                        "package, a run, or beside a model file")
    parser.add_argument("--threshold", type=float, help="use this similarity instead")
    parser.add_argument("--result", metavar="FILE", help="a file of 'facekd eval verify --json FILE' with this model")
    add_result_options(parser)


def _groups(args: argparse.Namespace) -> int:
    from facekd.api.evaluate.groups import groups

    result = groups(args.model, args.pairs, images=args.images, group_file=args.group_file, far=args.far,
                    threshold=args.threshold, result=args.result, json=args.json, flip=args.flip, device=args.device,
                    name=args.name, **input_options(args))
    console().print(result.describe())
    return 0
