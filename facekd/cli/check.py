"""``facekd check``: its options."""

from __future__ import annotations

import argparse

from facekd.cli.common import (
    Subparsers,
    add_command,
    add_device_option,
    add_input_options,
    add_set_options,
    input_options,
)
from facekd.utils.console import console


def add_check(subparsers: Subparsers) -> None:
    """Add ``check``."""
    parser = add_command(
        subparsers, "check", _check, "do the thresholds of a package still mean their rates on new images?",
        "facekd check packages/phone crops/this-month\n"
        "  facekd check w600k_mbf.onnx crops --json drift.json\n\n"
        "No labels are needed: nearly all pairs of images of a crowd show different people, so the share of pairs\n"
        "above a threshold is its false accept rate. In folders of people pairs of one person are left out. A\n"
        "rate within a factor of 2 holds. exit status 1 if a threshold has another rate")
    parser.add_argument("package", help="a package, or any model whose thresholds 'facekd eval verify' has kept")
    parser.add_argument("images", help="new aligned crops as a face set, best one image per person")
    parser.add_argument("--json", help="write the result to this file")
    add_set_options(parser)
    add_input_options(parser)
    add_device_option(parser)


def _check(args: argparse.Namespace) -> int:
    from facekd.api.deploy.check import check

    result = check(args.package, args.images, labels=args.labels, root=args.root, json=args.json, device=args.device,
                   **input_options(args))
    console().print(result.describe())
    return 0 if result.holds else 1
