"""The registry of architectures: a model is created by name and carries the description needed to rebuild it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from facekd.config.options import option_problems, resolve_options
from facekd.errors import ModelError, did_you_mean
from facekd.models.preprocessing import NORMALIZATIONS, normalize_images
from facekd.text import short_repr, shorten

STRIDE = 16
"""Input sides are multiples of this, the total stride of the networks for faces."""
MAX_SIZE = 1024
MAX_OUTPUTS = 1 << 24
MAX_OPTION = 10_000
"""The largest number among the options of a network, e.g. of hidden units."""
MAX_ITEM = 100
"""The largest number in a list among them, e.g. of the blocks of a stage."""


@dataclass(frozen=True)
class ModelSpec:
    """The description of a model: sufficient to rebuild it without its weights, and JSON-able.

    Attributes:
        name: the architecture's name in the registry.
        size: side in pixels of the square input.
        outputs: length of the output: of the embedding, or the number of classes.
        options: all options of the architecture, defaults included, so that a changed default does not alter old runs.
        normalization: the scaling of pixels, a key of `facekd.models.preprocessing.NORMALIZATIONS`.
        embedding: length of the architecture's own output, which a linear layer maps to ``outputs``, see
            `facekd.models.output_layer`; 0: there is no such layer.
    """

    name: str
    size: int
    outputs: int
    options: Mapping[str, Any] = field(default_factory=dict)
    normalization: str = "unit"
    embedding: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the description as JSON-able values."""
        options = {key: list(value) if isinstance(value, tuple) else value for key, value in self.options.items()}
        return {"name": self.name, "size": self.size, "outputs": self.outputs, "options": options,
                "normalization": self.normalization, **({"embedding": self.embedding} if self.embedding else {})}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ModelSpec:
        """Return the description from a record of `to_dict`.

        Raises:
            ModelError: a key is missing or unknown, or a value has the wrong type.
        """
        required = {"name", "size", "outputs"}
        known = {*required, "options", "normalization", "embedding"}
        wrong = sorted(required - set(record)) + sorted(set(record) - known)
        if wrong:
            raise ModelError(f"model description: missing or unknown keys: {shorten(', '.join(wrong))}")
        texts = (record["name"], record.get("normalization", "unit"))
        if not all(isinstance(text, str) for text in texts) or not isinstance(record.get("options", {}), Mapping):
            raise ModelError("model description: 'name' and 'normalization' must be text and 'options' a mapping")
        return _resolve(record["name"], record["size"], record["outputs"], record.get("options", {}),
                        record.get("normalization", "unit"), record.get("embedding", 0))


class Network(nn.Module):
    """Base of all architectures: float [N, 3, size, size] from `preprocess` to float [N, outputs], not normalized.

    Attributes:
        spec: the description of the model.
        stages: names of the submodules whose outputs are the default feature maps, float [N, C, H, W], from shallow to
            deep.
        final_layer: name of the last linear layer, whose input is the pre-logits of a classifier.
    """

    spec: ModelSpec
    stages: tuple[str, ...]
    final_layer: str = "fc"

    def check_spec(self) -> None:
        """Check after the network is built that it can be used as its ``spec`` says; most networks always can.

        Raises:
            ModelError: it cannot.
        """

    def preprocess(self, images: Tensor) -> Tensor:
        """Normalize uint8 [N, size, size, 3] RGB images to the network's input; see `normalize_images`."""
        return normalize_images(images, self.spec.normalization)


Factory = Callable[..., Network]
_FACTORIES: dict[str, Factory] = {}
_LIBRARIES: dict[str, Callable[[str], Factory]] = {}


def register(factory: Factory) -> Factory:
    """Decorator: register ``factory(size, outputs, *, option=default, ...)`` under its function name."""
    _FACTORIES[factory.__name__] = factory
    return factory


def register_library(find_factory: Callable[[str], Factory]) -> Callable[[str], Factory]:
    """Decorator: register a function that returns the factory of a model called ``library/name``.

    The name of the function is the library's name; its argument is the part after the slash.
    """
    _LIBRARIES[find_factory.__name__] = find_factory
    return find_factory


def list_models() -> list[str]:
    """Return the names of all architectures, sorted; those of other libraries are not included."""
    return sorted(_FACTORIES)


def create(name: str, *, size: int = 112, outputs: int = 512, normalization: str = "unit", **options: Any) -> Network:
    """Create a model with fresh weights.

    Args:
        name: one of `list_models`, or ``library/name`` for another library; see `facekd.models.architectures.zoo`.
        size: side of the input in pixels, a multiple of 16.
        outputs: length of the output.
        normalization: the scaling of pixels, a key of `facekd.models.preprocessing.NORMALIZATIONS`.
        options: options of the architecture, e.g. ``width=0.5``.

    Returns:
        The model in training mode; ``model.spec`` is its description.

    Raises:
        ModelError: a name or an option is unknown, or a value cannot be used.
    """
    return build(_resolve(name, size, outputs, options, normalization))


def build(spec: ModelSpec) -> Network:
    """Create the model of a description, with fresh weights.

    Raises:
        ModelError: see `create`.
    """
    spec = _resolve(spec.name, spec.size, spec.outputs, spec.options, spec.normalization, spec.embedding)
    if spec.embedding:
        from facekd.models.output_layer import with_outputs  # it is a `Network` itself

        return with_outputs(build(replace(spec, outputs=spec.embedding, embedding=0)), spec.outputs)
    try:
        model = get_factory(spec.name)(spec.size, spec.outputs, **spec.options)
    except (ArithmeticError, IndexError, MemoryError, RuntimeError, TypeError, ValueError) as error:  # raised by torch
        raise ModelError(f"{spec.name} cannot be built with size {spec.size}, {spec.outputs} outputs and the options "
                         f"{short_repr(dict(spec.options))} ({shorten(error)}); give other values") from error
    if "pretrained" in spec.options:  # a rebuilt model gets its own weights and must not download those of the library
        spec = replace(spec, options={**spec.options, "pretrained": False})
    model.spec = spec
    model.check_spec()
    return model


def get_factory(name: str) -> Factory:
    """Return the factory of an architecture or of a library's model; its keyword-only arguments are the options.

    Raises:
        ModelError: the name is unknown.
    """
    library, _, model = name.partition("/")
    if model and library in _LIBRARIES:
        return _LIBRARIES[library](model)
    if name not in _FACTORIES:
        raise ModelError(f"unknown model '{shorten(name, 80)}': {did_you_mean(name, list_models())}")
    return _FACTORIES[name]


def model_problems(name: str, size: Any, outputs: Any, options: Mapping[str, Any], normalization: Any) -> Iterator[str]:
    """Yield every mistake in the values that describe a model, see `create`; nothing is built."""
    try:
        factory = get_factory(name)
    except ModelError as error:
        yield str(error)
        return
    if type(size) is not int or not 2 * STRIDE <= size <= MAX_SIZE or size % STRIDE:
        yield (f"{name}: size must be a multiple of {STRIDE} pixels from {2 * STRIDE} to {MAX_SIZE}, not "
               f"{short_repr(size)}")
    if type(outputs) is not int or not 1 <= outputs <= MAX_OUTPUTS:
        yield f"{name}: outputs must be a whole number from 1 to {MAX_OUTPUTS}, not {short_repr(outputs)}"
    if not isinstance(normalization, str) or normalization not in NORMALIZATIONS:
        hint = did_you_mean(normalization, list(NORMALIZATIONS))
        yield f"{name}: unknown normalization {short_repr(normalization)}: {hint}"
    yield from option_problems(factory, options, name)
    for key, value in options.items():
        limit = MAX_ITEM if isinstance(value, (list, tuple)) else MAX_OPTION
        numbers = [item for item in (value if isinstance(value, (list, tuple)) else [value])
                   if isinstance(item, (int, float))]
        if numbers and max(numbers) > limit:
            yield f"{name}: option '{shorten(key, 80)}' must be at most {limit}, not {short_repr(value)}"


def _resolve(name: str, size: Any, outputs: Any, options: Mapping[str, Any], normalization: str,
             embedding: Any = 0) -> ModelSpec:
    """Check all values a user can give, and add the defaults of the options."""
    for problem in model_problems(name, size, outputs, options, normalization):
        raise ModelError(problem)
    if type(embedding) is not int or not 0 <= embedding <= MAX_OUTPUTS or embedding == outputs:
        raise ModelError(f"{name}: embedding must be a whole number from 0 to {MAX_OUTPUTS} other than the "
                         f"{outputs} outputs, not {short_repr(embedding)}")
    resolved = resolve_options(get_factory(name), options, name)
    return ModelSpec(name, size, outputs, resolved, normalization, embedding)
