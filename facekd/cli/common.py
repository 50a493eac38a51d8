"""Helpers and options that several commands share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from facekd.errors import FacekdError, ModelError, did_you_mean
from facekd.text import shorten

if TYPE_CHECKING:  # the package of models imports torch
    from facekd.models.input_format import InputOptions

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
CommandFunction = Callable[[argparse.Namespace], int]
"""Runs a command with its parsed arguments, and returns the exit status."""


def add_command(subparsers: Subparsers, name: str, function: CommandFunction, summary: str,
                examples: str) -> argparse.ArgumentParser:
    """Add a command whose help ends with examples.

    Args:
        subparsers: the group of the command.
        name: the name of the command.
        function: runs the command.
        summary: one line without a full stop, for the help of the group and of the command.
        examples: lines for the end of the help, indented by two spaces from the second line on.

    Returns:
        the parser, for the options of the command. What it parses has the attributes ``run``, the function, and
        ``command``, the full name, e.g. ``eval verify``.
    """
    parser = subparsers.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=f"examples:\n  {examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=function, command=parser.prog.removeprefix("facekd "))
    return parser


def add_model_options(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add the options of a face model: the model and its input, flip augmentation at test time, and the device."""
    parser.add_argument("--model", required=required,
                        help="run folder, .safetensors, package folder, or InsightFace-compatible .onnx")
    parser.add_argument("--no-flip", dest="flip", action="store_false",
                        help="do not add the embedding of the mirrored image")
    add_input_options(parser)
    add_device_option(parser)


def add_input_options(parser: argparse.ArgumentParser, size_help: str = "side of the input, if the graph leaves it open"
                      ) -> None:
    """Add the options that state how an ONNX file is fed; `input_options` reads them."""
    group = parser.add_argument_group("input of an .onnx file (docs/deploy.md); by default its graph tells it")
    group.add_argument("--pixels", metavar="SCALING", help="scaling of the pixels outside of the graph: raw (0 to "
                       "255), zero-one (0 to 1), unit (-1 to 1, InsightFace's), or mean and deviation of imagenet, "
                       "cifar10, cifar100")
    group.add_argument("--channels", metavar="ORDER", help="order of the channels: rgb or bgr")
    group.add_argument("--size", type=int, metavar="PIXELS", help=size_help)
    group.add_argument("--output", metavar="NAME", help="the output with the embedding, if the graph has several "
                       "(default: the first with two dimensions)")


def input_options(args: argparse.Namespace) -> InputOptions:
    """Return what the user stated by the options of `add_input_options`."""
    options: InputOptions = {}
    if args.pixels is not None:
        options["pixels"] = args.pixels
    if args.channels is not None:
        options["channels"] = args.channels
    if args.size is not None:
        options["size"] = args.size
    if args.output is not None:
        options["output"] = args.output
    return options


def parse_input(pairs: Sequence[str] | None, option: str) -> InputOptions:
    """Parse how an ONNX file is fed from ``KEY=VALUE``.

    Args:
        pairs: the values of the option; None if it is not given.
        option: the name of the option, for messages.

    Raises:
        ModelError: a key or a value is unknown.
    """
    from facekd.models.input_format import InputOptions, check_options

    given: dict[str, Any] = {}
    for pair in pairs or []:
        key, _, value = pair.partition("=")
        if key not in InputOptions.__annotations__:
            valid = [f"{name}=" for name in InputOptions.__annotations__]
            raise ModelError(f"{option} {shorten(pair)} is unknown: {did_you_mean(f'{key}=', valid)}")
        given[key] = int(value) if key == "size" and value.isdecimal() else value
    return check_options(given)


def add_labels_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that states whether the subfolders of a folder are people."""
    parser.add_argument("--labels", action=argparse.BooleanOptionalAction,
                        help="whether subfolders are people: with --labels the first level is, whatever lies below; "
                        "with --no-labels (days, cameras) it is a set without labels (default: they are if every image "
                        "lies directly in one)")


def add_set_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that state how a face set is read."""
    add_labels_option(parser)
    parser.add_argument("--root", help="folder from which the paths of a text list start (default: that of the list)")


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of the device of models."""
    parser.add_argument("--device", default="auto", help="device of the models: auto (default), cpu, cuda, mps")


def add_detector_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of a face detector."""
    parser.add_argument("--detector", help="face detector, YuNet or SCRFD as ONNX, or the folder of a model pack "
                        "(default: $FACEKD_DETECTOR)")


def add_recipe_arguments(parser: argparse.ArgumentParser, metavar: str) -> None:
    """Add the arguments of a command with a recipe: paths and overrides in any order, and a YAML file."""
    parser.add_argument("arguments", nargs="*", metavar=f"{metavar} key=value", help="paths, and keys of the recipe")
    parser.add_argument("--recipe", help="recipe as YAML; key=value overrides it")


def add_result_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the result of an evaluation."""
    parser.add_argument("--json", help="write the result to this file (a run folder also gets it in results/)")
    parser.add_argument("--name", help="name of the result in results/ and in reports")


def split_overrides(arguments: Sequence[str], max_paths: int, metavar: str) -> tuple[list[str], list[str]]:
    """Split the arguments of a command with a recipe into overrides and paths.

    An argument with an equals sign is an override, unless it is an existing path.

    Args:
        arguments: the arguments in their order.
        max_paths: the number of paths that the command takes.
        metavar: the names of the paths, for the error message.

    Returns:
        ``key=value`` overrides, and paths.

    Raises:
        FacekdError: there are too many paths.
    """
    overrides = [argument for argument in arguments if "=" in argument and not os.path.exists(argument)]
    paths = [argument for argument in arguments if argument not in overrides]
    if len(paths) > max_paths:
        raise FacekdError(f"at most {metavar} and key=value are understood, not {' '.join(paths[max_paths:])}")
    return overrides, paths
