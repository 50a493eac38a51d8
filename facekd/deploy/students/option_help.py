"""The options of an architecture as text, from its factory and the docstring of its class."""

from __future__ import annotations

import inspect
import re

import torch

from facekd.config.options import default_options
from facekd.models.registry import STRIDE, create, get_factory, list_models


def describe_model(name: str) -> str:
    """Return the text of one architecture: what it is, and the default and meaning of each option.

    Raises:
        ModelError: the name is unknown, or the architecture cannot be built with its defaults.
    """
    factory = get_factory(name)
    options = default_options(factory)
    lines = [name, f"  {_first_paragraph(inspect.getdoc(factory) or '')}", "", "options (student.options.NAME=VALUE):"]
    meanings = _meanings(name) if options else {}
    for key, default in options.items():
        value = str(list(default)) if isinstance(default, tuple) else str(default).lower()
        lines.append(f"  {key} = {value}   {meanings.get(key, '')}".rstrip())
    return "\n".join(lines if options else [*lines[:3], "no options"])


def list_options() -> dict[str, str]:
    """Return every architecture with the names of its options."""
    return {name: ", ".join(default_options(get_factory(name))) or "none" for name in list_models()}


def _meanings(name: str) -> dict[str, str]:
    """Return what the class says about its arguments, by their names."""
    with torch.random.fork_rng(devices=[]):
        document = inspect.getdoc(type(create(name, size=2 * STRIDE, outputs=8))) or ""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)+)", document, re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", section[1] if section else "", re.MULTILINE)
    return {key: " ".join(text.split()) for key, text in entries}


def _first_paragraph(document: str) -> str:
    return " ".join(document.partition("\n\n")[0].split())
