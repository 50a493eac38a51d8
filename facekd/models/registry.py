"""The registry of architectures: a model is made by name, and remembers how it was made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from facekd.errors import ModelError, nearest

STRIDE = 16
"""Every architecture here divides the side of its input by this much."""


@dataclass(frozen=True)
class ModelSpec:
    """How a model was made; enough to make it again, and plain enough for JSON.

    Attributes:
        name: the architecture's name in the registry.
        size: side in pixels of the square input.
        embedding: length of the output.
        options: every option of the architecture, defaults included, so that a changed default cannot alter old runs.
    """

    name: str
    size: int
    embedding: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The spec as JSON-able values."""
        options = {key: list(value) if isinstance(value, tuple) else value for key, value in self.options.items()}
        return {"name": self.name, "size": self.size, "embedding": self.embedding, "options": options}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ModelSpec:
        """A spec from what ``to_dict`` gave.

        Raises:
            ModelError: a key is missing or is not known, or a value has the wrong type.
        """
        needed = {"name", "size", "embedding"}
        wrong = sorted(needed - set(record)) + sorted(set(record) - needed - {"options"})
        if wrong:
            raise ModelError(f"model description: missing or unknown keys: {', '.join(wrong)}")
        if not isinstance(record["name"], str) or not isinstance(record.get("options", {}), Mapping):
            raise ModelError("model description: 'name' must be text and 'options' a mapping")
        return _resolve(record["name"], record["size"], record["embedding"], record.get("options", {}))


class FaceModel(nn.Module):
    """Base of every architecture: float [N, 3, size, size], (x - 127.5) / 127.5 RGB, to float [N, embedding], raw."""

    spec: ModelSpec


Factory = Callable[..., FaceModel]
_FACTORIES: dict[str, Factory] = {}


def register(factory: Factory) -> Factory:
    """Decorator: add ``factory(size, embedding, *, option=default, ...)`` under its own name."""
    _FACTORIES[factory.__name__] = factory
    return factory


def names() -> list[str]:
    """The names of all architectures, sorted."""
    return sorted(_FACTORIES)


def create(name: str, *, size: int = 112, embedding: int = 512, **options: Any) -> FaceModel:
    """Make an architecture with fresh weights.

    Args:
        name: one of ``names()``.
        size: side in pixels of its input, a multiple of 16.
        embedding: length of its output.
        options: the architecture's own, e.g. ``width=0.5``.

    Returns:
        The model in training mode; ``model.spec`` tells how to make it again.

    Raises:
        ModelError: an unknown name or option, or a value that cannot be used.
    """
    return build(_resolve(name, size, embedding, options))


def build(spec: ModelSpec) -> FaceModel:
    """Make the model a spec describes, with fresh weights.

    Raises:
        ModelError: as ``create``.
    """
    spec = _resolve(spec.name, spec.size, spec.embedding, spec.options)
    model = _FACTORIES[spec.name](spec.size, spec.embedding, **spec.options)
    model.spec = spec
    return model


def _resolve(name: str, size: Any, embedding: Any, options: Mapping[str, Any]) -> ModelSpec:
    """Check everything a person can get wrong, and fill in the defaults."""
    if name not in _FACTORIES:
        raise ModelError(f"unknown model '{name}': {nearest(name, names())}")
    if type(size) is not int or size < 2 * STRIDE or size % STRIDE:
        raise ModelError(f"{name}: size must be a multiple of {STRIDE} pixels, at least {2 * STRIDE}, not {size!r}")
    if type(embedding) is not int or embedding < 1:
        raise ModelError(f"{name}: embedding must be a whole number of at least 1, not {embedding!r}")
    parameters = inspect.signature(_FACTORIES[name]).parameters
    defaults = {key: p.default for key, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    for key in options:
        if key not in defaults:
            valid = ", ".join(sorted(defaults)) or "none"
            raise ModelError(f"{name}: unknown option '{key}'; its options are: {valid}")
    return ModelSpec(name, size, embedding, {
        key: _like(default, options[key], f"{name}: option '{key}'") if key in options else default
        for key, default in defaults.items()
    })


def _like(default: Any, value: Any, where: str) -> Any:
    """The value in the type of the default, or a ModelError; JSON's lists become tuples and whole numbers floats."""
    if isinstance(default, tuple):
        if isinstance(value, (tuple, list)) and len(value) == len(default):
            return tuple(_like(one, given, where) for one, given in zip(default, value, strict=True))
        raise ModelError(f"{where} must be {len(default)} values like {list(default)}, not {value!r}")
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        raise ModelError(f"{where} must be like {default!r}, not {value!r}")
    if isinstance(default, (int, float)) and not isinstance(default, bool) and not 0 <= value < float("inf"):
        raise ModelError(f"{where} must be a finite number of at least 0, not {value!r}")
    return value
