"""``facekd students``: its options."""

from __future__ import annotations

import argparse

from facekd.cli.common import Subparsers, add_command
from facekd.errors import OptionError
from facekd.utils.console import console

MEASURE = "measure"
"""The value of ``--latency`` without a limit."""


def add_students(subparsers: Subparsers) -> None:
    """Add ``students`` and ``students show``."""
    parser = add_command(
        subparsers, "students", _students, "list networks that can be students, by size, multiply-adds and latency",
        "facekd students --budget 1MB --teacher w600k_mbf.onnx\n"
        "  facekd students --macs 100M --precision int8 --size 112,96\n"
        "  facekd students --latency 5ms --precision fp32,int8   (measured here: minutes)\n"
        "  facekd students show mobilenetv2                      (its options; without a name: all models)")
    limits = parser.add_argument_group("limits")
    limits.add_argument("--budget", metavar="BYTES", help="the largest ONNX file: 1MB is 10^6 bytes, 1MiB 2^20")
    limits.add_argument("--macs", metavar="NUMBER", help="the most multiply-adds for one image, e.g. 100M")
    limits.add_argument("--parameters", metavar="NUMBER", help="the most parameters, e.g. 1M")
    limits.add_argument("--latency", nargs="?", const=MEASURE, metavar="TIME",
                        help="the largest median latency of one image on one thread of this machine, e.g. 5ms; "
                        "without a time the shown students are measured")
    grid = parser.add_argument_group("grid; values separated by commas")
    grid.add_argument("--architecture", type=_split_texts, default=[], metavar="NAMES",
                      help="mobilefacenet, mobilenetv2, iresnet10, iresnet18 (default: all)")
    grid.add_argument("--width", type=_split_numbers, default=[], metavar="FACTORS",
                      help="multipliers of the channels (default: 0.25 to 1, of iresnets 0.125 to 0.5)")
    grid.add_argument("--size", type=_split_integers, default=[], metavar="PIXELS",
                      help="sides of the input (default: 112,96,80,64)")
    grid.add_argument("--precision", type=_split_texts, default=[], metavar="NAMES",
                      help="of the exported file: fp32, fp16, int8 (default: all)")
    parser.add_argument("--embedding", type=int, help="length of the embedding (default 512)")
    parser.add_argument("--teacher", metavar="MODEL", help="take the length of this model's embedding")
    parser.add_argument("--limit", type=int, default=20, metavar="ROWS", help="number of rows (default 20)")
    show = add_command(parser.add_subparsers(), "show", _show, "show the options of a model, or list all models",
                       "facekd students show mobilefacenet\n  facekd students show")
    show.add_argument("name", nargs="?", help="a model of the list")


def _split_texts(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _split_numbers(text: str) -> list[float]:
    try:
        return [float(item) for item in _split_texts(text)]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of numbers like 0.5,0.75") from error


def _split_integers(text: str) -> list[int]:
    try:
        return [int(item) for item in _split_texts(text)]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of whole numbers like 112,96") from error


def _students(args: argparse.Namespace) -> int:
    from facekd.api.deploy.students import students
    from facekd.reporting.tables.students import COST_NOTE, ORDER_NOTE, TIME_NOTE, students_table

    if args.limit < 1:
        raise OptionError(f"--limit must be at least 1, not {args.limit}")
    found = students(
        budget=args.budget, macs=args.macs, parameters=args.parameters,
        latency=None if args.latency == MEASURE else args.latency, measure=args.latency == MEASURE,
        embedding=args.embedding, teacher=args.teacher, architectures=args.architecture, widths=args.width,
        sizes=args.size, precisions=args.precision, limit=args.limit if args.latency else None)
    shown = found[: args.limit]
    console().print(students_table(shown), soft_wrap=False)
    if len(found) > len(shown):
        console().print(f"{len(found) - len(shown)} more are within the limits; --limit {len(found)} shows all")
    for note in (ORDER_NOTE, COST_NOTE, *([TIME_NOTE] if shown[0].milliseconds is not None else [])):
        console().print(note)
    console().print(f"the first one in a recipe: {' '.join(shown[0].overrides)}")
    return 0


def _show(args: argparse.Namespace) -> int:
    from facekd.api.deploy.students import describe_model, list_options
    from facekd.reporting.tables.students import models_table

    if args.name is None:
        console().print(models_table(list_options()), soft_wrap=False)
    else:
        console().print(describe_model(args.name))
    return 0
