"""The registry of architectures: a model is made by name, and remembers how it was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from facekd.config.options import resolve
from facekd.errors import ModelError, nearest
from facekd.models.preprocessing import PIXELS, to_input

STRIDE = 16
"""Sides are multiples of this; it is what the networks for faces divide them by."""


@dataclass(frozen=True)
class ModelSpec:
    """How a model was made; enough to make it again, and plain enough for JSON.

    Attributes:
        name: the architecture's name in the registry.
        size: side in pixels of the square input.
        outputs: length of the output: of the embedding, or the number of classes.
        options: every option of the architecture, defaults included, so that a changed default cannot alter old runs.
        pixels: how pixels are scaled for it, a key of `facekd.models.preprocessing.PIXELS`.
    """

    name: str
    size: int
    outputs: int
    options: Mapping[str, Any] = field(default_factory=dict)
    pixels: str = "unit"

    def to_dict(self) -> dict[str, Any]:
        """The spec as JSON-able values."""
        options = {key: list(value) if isinstance(value, tuple) else value for key, value in self.options.items()}
        return {"name": self.name, "size": self.size, "outputs": self.outputs, "options": options,
                "pixels": self.pixels}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ModelSpec:
        """A spec from what ``to_dict`` gave (``outputs`` was called ``embedding`` before class sets came).

        Raises:
            ModelError: a key is missing or is not known, or a value has the wrong type.
        """
        record = {"outputs" if key == "embedding" else key: value for key, value in record.items()}
        needed = {"name", "size", "outputs"}
        wrong = sorted(needed - set(record)) + sorted(set(record) - needed - {"options", "pixels"})
        if wrong:
            raise ModelError(f"model description: missing or unknown keys: {', '.join(wrong)}")
        if not isinstance(record["name"], str) or not isinstance(record.get("options", {}), Mapping):
            raise ModelError("model description: 'name' must be text and 'options' a mapping")
        return _resolve(record["name"], record["size"], record["outputs"], record.get("options", {}),
                        record.get("pixels", "unit"))


class Network(nn.Module):
    """Base of every architecture: float [N, 3, size, size] as `inputs` gives it, to float [N, outputs], raw.

    Attributes:
        spec: how it was made.
        stages: names of the submodules whose outputs are its intermediate maps, float [N, C, H, W], shallow to deep.
        final: name of the linear layer that ends it, whose input is a classifier's features.
    """

    spec: ModelSpec
    stages: tuple[str, ...]
    final: str = "fc"

    def inputs(self, images: Tensor) -> Tensor:
        """Images as they travel, uint8 [N, size, size, 3] RGB, as the network's input; see `to_input`."""
        return to_input(images, self.spec.pixels)


Factory = Callable[..., Network]
_FACTORIES: dict[str, Factory] = {}
_LIBRARIES: dict[str, Callable[[str], Factory]] = {}


def register(factory: Factory) -> Factory:
    """Decorator: add ``factory(size, outputs, *, option=default, ...)`` under its own name."""
    _FACTORIES[factory.__name__] = factory
    return factory


def register_library(find: Callable[[str], Factory]) -> Callable[[str], Factory]:
    """Decorator: ask ``find(name)`` for the factory of a model called ``library/name``; library is its own name."""
    _LIBRARIES[find.__name__] = find
    return find


def names() -> list[str]:
    """The names of all architectures, sorted; those of other libraries are not among them."""
    return sorted(_FACTORIES)


def create(name: str, *, size: int = 112, outputs: int = 512, pixels: str = "unit", **options: Any) -> Network:
    """Make an architecture with fresh weights.

    Args:
        name: one of ``names()``, or of another library as ``library/name``; see `facekd.models.architectures.zoo`.
        size: side in pixels of its input, a multiple of 16.
        outputs: length of its output.
        pixels: how pixels are scaled for it, a key of `facekd.models.preprocessing.PIXELS`.
        options: the architecture's own, e.g. ``width=0.5``.

    Returns:
        The model in training mode; ``model.spec`` tells how to make it again.

    Raises:
        ModelError: an unknown name or option, or a value that cannot be used.
    """
    return build(_resolve(name, size, outputs, options, pixels))


def build(spec: ModelSpec) -> Network:
    """Make the model a spec describes, with fresh weights.

    Raises:
        ModelError: as ``create``.
    """
    spec = _resolve(spec.name, spec.size, spec.outputs, spec.options, spec.pixels)
    model = _factory(spec.name)(spec.size, spec.outputs, **spec.options)
    if "pretrained" in spec.options:  # whoever makes it again has its weights, and need not fetch a library's
        spec = replace(spec, options={**spec.options, "pretrained": False})
    model.spec = spec
    return model


def _factory(name: str) -> Factory:
    library, _, own = name.partition("/")
    if own and library in _LIBRARIES:
        return _LIBRARIES[library](own)
    if name not in _FACTORIES:
        raise ModelError(f"unknown model '{name}': {nearest(name, names())}")
    return _FACTORIES[name]


def _resolve(name: str, size: Any, outputs: Any, options: Mapping[str, Any], pixels: str) -> ModelSpec:
    """Check everything a person can get wrong, and fill in the defaults."""
    factory = _factory(name)
    if type(size) is not int or size < 2 * STRIDE or size % STRIDE:
        raise ModelError(f"{name}: size must be a multiple of {STRIDE} pixels, at least {2 * STRIDE}, not {size!r}")
    if type(outputs) is not int or outputs < 1:
        raise ModelError(f"{name}: outputs must be a whole number of at least 1, not {outputs!r}")
    if pixels not in PIXELS:
        raise ModelError(f"{name}: unknown pixels '{pixels}': {nearest(pixels, list(PIXELS))}")
    return ModelSpec(name, size, outputs, resolve(factory, options, name), pixels)
