"""A trained network as exporters want it: frozen, on the CPU, with what a file shall do inside said once."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from facekd.deploy.prelu import without_prelu
from facekd.errors import ExportError
from facekd.models.embedder import pixels_of
from facekd.models.registry import ModelSpec, Network

TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Form:
    """What a file takes and gives.

    Attributes:
        pixels: ``float``: RGB, (x - 127.5) / 127.5, scaled outside as InsightFace does it; ``uint8``: RGB, 0 to 255 as
            float32, scaled inside.
        unit: whether the embedding has unit length.
    """

    pixels: Literal["float", "uint8"] = "float"
    unit: bool = False

    def preprocess(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Uint8 [batch, size, size, 3] RGB to the float32 [batch, 3, size, size] that a file of this form takes."""
        return pixels_of(crops, raw=self.pixels == "uint8")

    @property
    def scaling(self) -> str:
        """How pixels are scaled before a file of this form, in words."""
        return "0 to 255 as float32" if self.pixels == "uint8" else "(x - 127.5) / 127.5"


@dataclass(frozen=True)
class Interface:
    """How a file is talked to.

    Attributes:
        size: side of its square input in pixels.
        dimension: length of its output.
        form: what it takes and gives.
    """

    size: int
    dimension: int
    form: Form


@dataclass(frozen=True)
class Source:
    """What a file is made from.

    Attributes:
        network: the trained network, frozen float32 on the CPU; what files are compared with.
        form: what files take and give.
        name: of the files, without an ending.
        calibration: uint8 [images, size, size, 3] RGB faces of the training set, to set int8 ranges by; None where
            none were given.
    """

    network: Network
    form: Form
    name: str
    calibration: NDArray[np.uint8] | None = None

    @property
    def spec(self) -> ModelSpec:
        """How the network was made."""
        return self.network.spec

    def stem(self, precision: str) -> str:
        """What files of a precision are called before their ending: NAME, or NAME.fp16 and so on."""
        return self.name if precision == "fp32" else f"{self.name}.{precision}"

    @property
    def interface(self) -> Interface:
        """How files made from it are talked to."""
        return Interface(self.spec.size, self.spec.outputs, self.form)

    def graph(self, split_prelu: bool) -> nn.Module:
        """What an exporter is given: float32 [batch, 3, size, size] as ``form`` says, to [batch, dimension].

        Args:
            split_prelu: spell PReLU in the equal form of `without_prelu`, for runtimes without a fast kernel for it.
        """
        network = without_prelu(self.network) if split_prelu else copy.deepcopy(self.network)
        return _Formed(network, self.form).eval().requires_grad_(False)

    def ranges(self, target: str) -> NDArray[np.uint8]:
        """The crops to set int8 ranges by, uint8 [images, size, size, 3].

        Raises:
            ExportError: there are none; ``target`` is whom they are for.
        """
        if self.calibration is None or len(self.calibration) == 0:
            raise ExportError(
                f"{self.spec.name} cannot be made {target} int8 without calibration crops; give faces of the training "
                "set, some 100 of different people"
            )
        return self.calibration

    @torch.inference_mode()
    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's own embeddings of uint8 [images, size, size, 3] crops, float32 [images, dimension]."""
        pixels = torch.from_numpy(Form().preprocess(crops))
        return torch.cat([self.network(part) for part in torch.split(pixels, 64)]).numpy()


def freeze(model: Network, form: Form, name: str, calibration: NDArray[np.uint8] | None = None) -> Source:
    """A source from a network of the registry, which is copied and not changed; denormal weights become 0.

    Denormals slow some processors down a hundredfold; zeros are the same to within 1e-38.

    Raises:
        ExportError: the network takes pixels scaled in another way, or calibration crops of another size.
    """
    size = model.spec.size
    if model.spec.pixels != "unit":
        raise ExportError(
            f"{model.spec.name} takes pixels scaled as '{model.spec.pixels}'; packages are for networks that take "
            "(x - 127.5) / 127.5 (model.pixels=unit), as InsightFace feeds them"
        )
    if calibration is not None and calibration.shape[1:] != (size, size, 3):
        wanted = f"[images, {size}, {size}, 3]"
        raise ExportError(f"the calibration crops are {list(calibration.shape)}, {model.spec.name} takes {wanted}")
    network = copy.deepcopy(model).float().cpu().eval().requires_grad_(False)
    for value in network.state_dict().values():
        if value.dtype == torch.float32:
            value[value.abs() < TINY] = 0.0
    return Source(network, form, name, calibration)


class _Formed(nn.Module):
    """A network behind its scaling of pixels, where that is inside, and before its unit length, likewise."""

    def __init__(self, network: nn.Module, form: Form) -> None:
        super().__init__()
        self.network, self.form = network, form

    def forward(self, x: Tensor) -> Tensor:
        if self.form.pixels == "uint8":
            x = (x - 127.5) * (1 / 127.5)  # multiplied, because InsightFace looks for a multiplication
        features: Tensor = self.network(x)
        return functional.normalize(features) if self.form.unit else features
