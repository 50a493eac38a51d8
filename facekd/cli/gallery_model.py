"""The options of an evaluation with an old gallery, which several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from facekd.cli.common import parse_input
from facekd.errors import ModelError


def add_gallery_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of an evaluation with an old gallery; `gallery_options` reads them."""
    group = parser.add_argument_group("an old gallery (docs/identification.md)")
    group.add_argument("--gallery-model", metavar="MODEL", help="the model that people were enrolled with, e.g. the "
                       "teacher: one table of old/old, new/new and new/old, with the differences")
    group.add_argument("--gallery-input", nargs="+", metavar="KEY=VALUE", help="how an .onnx of --gallery-model is "
                       "fed, by the names of the options of --model, e.g. pixels=raw channels=bgr")
    group.add_argument("--map", dest="map_file", metavar="MAP.safetensors",
                       help="compare with the gallery as this map of 'facekd convert --fit' converts it")


def gallery_options(args: argparse.Namespace, without_effect: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the arguments of a function that takes the options of `add_gallery_model_options`.

    Args:
        args: the parsed arguments.
        without_effect: options of the command that have no effect beside ``--gallery-model``; None is not given.

    Raises:
        ModelError: an option is given without the model that it is about, or has no effect beside it, or
            ``--gallery-input`` is no input option.
    """
    from facekd.models.input_format import refuse_options

    if args.gallery_model is None:
        refuse_options({"gallery-input": args.gallery_input, "map": args.map_file}, "it needs --gallery-model")
        return {}
    if args.model is None:
        raise ModelError("--gallery-model compares two models on images; give the new one by --model as well (features "
                         "of two models are compared by --across)")
    refuse_options(without_effect or {}, "--gallery-model embeds the images by both models; leave it out")
    return {"gallery_input": parse_input(args.gallery_input, "--gallery-input"), "map_file": args.map_file}
