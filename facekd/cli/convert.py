"""The command ``facekd convert``."""

from __future__ import annotations

import argparse

from facekd.cli.common import Subparsers, add_command, add_device_option, parse_input
from facekd.errors import FacekdError
from facekd.utils.console import console


def add_convert(subparsers: Subparsers) -> None:
    """Add ``convert``."""
    parser = add_command(
        subparsers, "convert", _convert, "features of an old model as features of a new one, by a fitted map",
        "facekd convert --fit teacher.onnx runs/student crops --map map.safetensors\n"
        "  facekd convert gallery.npy converted.npy --map map.safetensors\n"
        "  facekd eval verify --model runs/student --gallery-model teacher.onnx --map map.safetensors --pairs lfw.bin")
    parser.add_argument("features", nargs="?", help="features of the old model: .npy, .safetensors or a tree of .bin")
    parser.add_argument("out", nargs="?", help="the .npy to write")
    parser.add_argument("--map", dest="map_file", required=True, metavar="MAP.safetensors",
                        help="the map; --fit writes it")
    parser.add_argument("--fit", nargs=3, metavar=("OLD", "NEW", "IMAGES"), help="fit the map first: two models and "
                        "aligned crops (with or without labels), which both embed; a fifth is held out to measure it")
    group = parser.add_argument_group("with --fit")
    group.add_argument("--method", choices=["ridge", "procrustes"],
                       help="default: the better one on images that neither was fitted on")
    group.add_argument("--no-flip", dest="flip", action="store_false",
                       help="do not add the embedding of the mirrored image")
    for role in ("old", "new"):
        group.add_argument(f"--{role}-input", nargs="+", metavar="KEY=VALUE", help=f"how an .onnx of {role.upper()} is "
                           "fed: pixels=, channels=, size=, output= as in 'facekd eval verify --help'")
    group.add_argument("--json", help="write the figures to this file")
    add_device_option(parser)


def _convert(args: argparse.Namespace) -> int:
    from facekd.api.convert import convert, fit_map
    from facekd.models.input_format import refuse_options

    if (args.features is None) != (args.out is None):
        raise FacekdError(f"{args.features} is one path; give the features and the .npy to write")
    if args.fit is None:
        refuse_options({"method": args.method, "no-flip": None if args.flip else True, "old-input": args.old_input,
                        "new-input": args.new_input, "json": args.json,
                        "device": None if args.device == "auto" else args.device}, "it needs --fit")
        if args.features is None:
            raise FacekdError("give features and the .npy to write, or --fit OLD NEW IMAGES")
    else:
        old, new, images = args.fit
        result = fit_map(old, new, images, args.map_file, method=args.method, flip=args.flip, device=args.device,
                         old_input=parse_input(args.old_input, "--old-input"),
                         new_input=parse_input(args.new_input, "--new-input"), json=args.json)
        console().print(result.describe())
    if args.features is not None:
        rows = convert(args.features, args.out, args.map_file)
        console().print(f"{rows:,} rows converted")
    return 0
