"""Architectures of torchvision and timm, under the names ``torchvision/NAME`` and ``timm/NAME``.

Both libraries are installed by the extra ``zoo`` and imported only if one of their models is created. Their published
weights (option ``pretrained``) are refused with another normalization than that of their own configuration; where the
size or the resizing of images differs from it, a note says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import nn

from facekd.errors import ModelError, did_you_mean
from facekd.models.architectures.pretrained_input import PretrainedInput, from_timm, from_torchvision
from facekd.models.registry import Factory, Network, register_library
from facekd.text import shorten

_LAYERS = ("layer1", "layer2", "layer3", "layer4")
TORCHVISION_STAGES = {
    "resnet18": _LAYERS, "resnet34": _LAYERS, "resnet50": _LAYERS, "resnet101": _LAYERS,
    "mobilenet_v2": ("features.3", "features.6", "features.13", "features.17"),
}
"""The supported models of torchvision, with the names of their stages."""

IMAGENET_CLASSES = 1000


class LibraryNetwork(Network):
    """A model of another library as a `Network`.

    Args:
        net: maps float [N, 3, size, size] to float [N, outputs].
        stages: names of submodules of ``net``, from shallow to deep.
        pretrained_input: how the images of its published weights are made; None without such weights.
    """

    def __init__(self, net: nn.Module, stages: tuple[str, ...], pretrained_input: PretrainedInput | None) -> None:
        super().__init__()
        self.net = net
        self.pretrained_input = pretrained_input
        self.stages = tuple(f"net.{stage}" for stage in stages)
        self.final_layer = [name for name, module in self.named_modules() if isinstance(module, nn.Linear)][-1]

    def check_spec(self) -> None:
        """See `Network.check_spec`: the images must be those of the published weights."""
        if self.pretrained_input is not None:
            self.pretrained_input.check(self.spec)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float [N, 3, size, size] to float [N, outputs]."""
        out: torch.Tensor = self.net(x)
        return out


@register_library
def torchvision(name: str) -> Factory:
    """Return the factory of a model of torchvision.

    Raises:
        ModelError: torchvision is not installed, or the model is not in ``TORCHVISION_STAGES``.
    """
    library = _import_library("torchvision.models", f"torchvision/{name}")
    if name not in TORCHVISION_STAGES:
        raise ModelError(f"unknown model 'torchvision/{shorten(name, 80)}': "
                         f"{did_you_mean(name, list(TORCHVISION_STAGES))}")

    def factory(size: int, outputs: int, *, pretrained: bool = False) -> Network:
        pretrained_input = None
        with _creation_errors(f"torchvision/{name}", pretrained):
            net: nn.Module = library.get_model(name, num_classes=IMAGENET_CLASSES if pretrained else outputs)
            if pretrained:
                weights = library.get_model_weights(name).DEFAULT
                pretrained_input = from_torchvision(weights.transforms())
                # weights_only is explicit, because torchvision's default lets the file run code.
                net.load_state_dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
        if pretrained and outputs != IMAGENET_CLASSES:
            layers = [(key, module) for key, module in net.named_modules() if isinstance(module, nn.Linear)]
            key, classifier = layers[-1]
            net.set_submodule(key, nn.Linear(classifier.in_features, outputs))
        return LibraryNetwork(net, TORCHVISION_STAGES[name], pretrained_input)

    return factory


@register_library
def timm(name: str) -> Factory:
    """Return the factory of a model of timm; a tag chooses published weights, as in ``resnet50.a1_in1k``.

    Its stages are those in timm's ``feature_info``. A model for one image size (ViT, Swin, MLP-Mixer) has none, because
    its intermediate outputs are tokens, not feature maps.

    Raises:
        ModelError: timm is not installed, or does not have the model.
    """
    library = _import_library("timm", f"timm/{name}")
    if not library.is_model(name):  # also rejects names that would make timm download code or weights from a hub
        raise ModelError(f"unknown model 'timm/{shorten(name, 80)}'; timm.list_models() lists what timm "
                         f"{library.__version__} has")

    def factory(size: int, outputs: int, *, pretrained: bool = False) -> Network:
        config = library.get_pretrained_cfg(name)
        has_fixed_size = config.fixed_input_size  # only such models have the option img_size
        options: dict[str, Any] = {"img_size": size} if has_fixed_size else {}
        with _creation_errors(f"timm/{name}", pretrained):
            net: nn.Module = library.create_model(name, pretrained=pretrained, num_classes=outputs, **options)
        return LibraryNetwork(net, () if has_fixed_size else _timm_stages(net),
                              from_timm(config) if pretrained else None)

    return factory


def _timm_stages(net: nn.Module) -> tuple[str, ...]:
    """Return the submodules in timm's ``feature_info``, a list of mappings that each name their ``module``."""
    submodules = {key for key, _ in net.named_modules() if key}
    stages: list[str] = [info.get("module", "") for info in getattr(net, "feature_info", None) or []]
    return tuple(stage for stage in stages if stage in submodules)


@contextmanager
def _creation_errors(model: str, pretrained: bool) -> Iterator[None]:
    """Turn the errors of the libraries for an unsupported size or missing weights into a ModelError."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        hint = "; published weights are downloaded on first use" if pretrained else ""
        raise ModelError(f"{model} cannot be created ({shorten(error)}){hint}") from error


def _import_library(module: str, model: str) -> Any:
    """Import a library for a model, or raise a ModelError with the command that installs it."""
    try:
        return import_module(module)
    except (ImportError, RuntimeError) as error:  # a torchvision built for another torch raises RuntimeError
        name = module.partition(".")[0]
        raise ModelError(
            f"{model} needs {name}, which cannot be imported ({shorten(error)}): pip install 'facekd[zoo]'"
        ) from error
