"""Architectures of torchvision and timm, under the names ``torchvision/NAME`` and ``timm/NAME``.

Both libraries come with the extra ``zoo`` and are imported only when one of their names is asked for. Weights that they
publish (option ``pretrained``) were trained on ImageNet, hence with ``pixels="imagenet"``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import nn

from facekd.errors import ModelError, nearest
from facekd.models.registry import Factory, Network, register_library

_LAYERS = ("layer1", "layer2", "layer3", "layer4")
TORCHVISION = {
    "resnet18": _LAYERS, "resnet34": _LAYERS, "resnet50": _LAYERS, "resnet101": _LAYERS,
    "mobilenet_v2": ("features.3", "features.6", "features.13", "features.17"),
}
"""The nets of torchvision offered, with the names of their stages."""

IMAGENET_CLASSES = 1000


class Foreign(Network):
    """A net of another library as a network of ours.

    Args:
        net: maps float [N, 3, size, size] to float [N, outputs].
        stages: names of submodules of ``net``, shallow to deep.
    """

    def __init__(self, net: nn.Module, stages: tuple[str, ...]) -> None:
        super().__init__()
        self.net = net
        self.stages = tuple(f"net.{stage}" for stage in stages)
        self.final = [name for name, module in self.named_modules() if isinstance(module, nn.Linear)][-1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float [N, 3, size, size] to float [N, outputs]."""
        out: torch.Tensor = self.net(x)
        return out


@register_library
def torchvision(name: str) -> Factory:
    """The factory of one of torchvision's nets.

    Raises:
        ModelError: torchvision is not there, or the net is not among ``TORCHVISION``.
    """
    library = _library("torchvision.models", f"torchvision/{name}")
    if name not in TORCHVISION:
        raise ModelError(f"unknown model 'torchvision/{name}': {nearest(name, list(TORCHVISION))}")

    def factory(size: int, outputs: int, *, pretrained: bool = False) -> Network:
        with _making(f"torchvision/{name}", pretrained):
            net: nn.Module = library.get_model(name, num_classes=IMAGENET_CLASSES if pretrained else outputs)
            if pretrained:
                best = library.get_model_weights(name).DEFAULT
                # Said here because torchvision's own default lets the file run code.
                net.load_state_dict(best.get_state_dict(progress=False, check_hash=True, weights_only=True))
        if pretrained and outputs != IMAGENET_CLASSES:
            head, linear = [(key, module) for key, module in net.named_modules() if isinstance(module, nn.Linear)][-1]
            net.set_submodule(head, nn.Linear(linear.in_features, outputs))
        return Foreign(net, TORCHVISION[name])

    return factory


@register_library
def timm(name: str) -> Factory:
    """The factory of one of timm's nets, published weights chosen by a tag as in ``resnet50.a1_in1k``.

    Its stages are those timm names in ``feature_info``. A net made for one size of image (a ViT, Swin, MLP-Mixer) has
    none, because what passes through it are tokens and not maps.

    Raises:
        ModelError: timm is not there, or does not know the net.
    """
    library = _library("timm", f"timm/{name}")
    if not library.is_model(name):  # which also keeps out names that would make timm fetch code or weights from a hub
        raise ModelError(f"unknown model 'timm/{name}'; timm.list_models() lists what timm {library.__version__} has")

    def factory(size: int, outputs: int, *, pretrained: bool = False) -> Network:
        fixed = library.get_pretrained_cfg(name).fixed_input_size  # only nets made for one size take it as an option
        options: dict[str, Any] = {"img_size": size} if fixed else {}
        with _making(f"timm/{name}", pretrained):
            net: nn.Module = library.create_model(name, pretrained=pretrained, num_classes=outputs, **options)
        return Foreign(net, () if fixed else _timm_stages(net))

    return factory


def _timm_stages(net: nn.Module) -> tuple[str, ...]:
    """The submodules that timm says give features; a list of mappings, each naming its ``module``."""
    there = {key for key, _ in net.named_modules() if key}
    named: list[str] = [info.get("module", "") for info in getattr(net, "feature_info", None) or []]
    return tuple(module for module in named if module in there)


@contextmanager
def _making(wanted: str, pretrained: bool) -> Iterator[None]:
    """Turns what the libraries raise for a size or weights they do not have into one sentence."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        hint = "; published weights are fetched from the network the first time" if pretrained else ""
        raise ModelError(f"{wanted} cannot be made ({error}){hint}") from error


def _library(module: str, wanted: str) -> Any:
    try:
        return import_module(module)
    except (ImportError, RuntimeError) as error:  # a torchvision built for another torch raises RuntimeError
        name = module.partition(".")[0]
        raise ModelError(
            f"{wanted} needs {name}, which cannot be imported ({error}): pip install 'facekd[zoo]'"
        ) from error
