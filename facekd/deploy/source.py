"""A trained network prepared for export: frozen, float32, on the CPU, with the input and output format of its files."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from facekd.deploy.prelu import replace_prelu
from facekd.errors import ExportError
from facekd.models.input_format import InputFormat
from facekd.models.registry import ModelSpec, Network

TINY = torch.finfo(torch.float32).tiny
BATCH_SIZE = 64


@dataclass(frozen=True)
class ExportFormat:
    """Input and output format of an exported file.

    Attributes:
        input_dtype: ``float``: the client scales RGB pixels to (x - 127.5) / 127.5, as InsightFace does; ``uint8``:
            the client passes RGB pixels from 0 to 255 as float32, and the file scales them.
        l2_normalized: whether the file gives embeddings of unit length.
    """

    input_dtype: Literal["float", "uint8"] = "float"
    l2_normalized: bool = False

    def preprocess(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Convert uint8 [batch, size, size, 3] RGB to the float32 [batch, 3, size, size] input of a file."""
        return InputFormat("raw" if self.input_dtype == "uint8" else "unit").preprocess(crops)

    @property
    def scaling(self) -> str:
        """The scaling of pixels that the client applies, in words."""
        return "0 to 255 as float32" if self.input_dtype == "uint8" else "(x - 127.5) / 127.5"


@dataclass(frozen=True)
class IOSpec:
    """Shapes and format of the input and output of an exported file.

    Attributes:
        size: side of the square input in pixels.
        dimension: length of the embedding.
        format: scaling of the input and length of the output.
    """

    size: int
    dimension: int
    format: ExportFormat


@dataclass(frozen=True)
class ExportSource:
    """The network that files are converted from.

    Attributes:
        network: the trained network, frozen float32 on the CPU; files are compared with it.
        format: the input and output format of the files.
        name: the base name of the files, without an extension.
        calibration: uint8 [images, size, size, 3] RGB faces of the training set that set int8 ranges; None without
            calibration.
    """

    network: Network
    format: ExportFormat
    name: str
    calibration: NDArray[np.uint8] | None = None

    @property
    def spec(self) -> ModelSpec:
        """The description of the network."""
        return self.network.spec

    @property
    def io_spec(self) -> IOSpec:
        """The input and output of the files converted from this source."""
        return IOSpec(self.spec.size, self.spec.outputs, self.format)

    def file_stem(self, precision: str) -> str:
        """Return the file name without extension for a precision: NAME for fp32, else NAME.fp16 or NAME.int8."""
        return self.name if precision == "fp32" else f"{self.name}.{precision}"

    def export_module(self, split_prelu: bool) -> nn.Module:
        """Return the module to convert: float32 [batch, 3, size, size] in ``format`` to [batch, dimension].

        Args:
            split_prelu: whether to replace PReLU as `replace_prelu` does, for runtimes without a fast PReLU kernel.
        """
        network = replace_prelu(self.network) if split_prelu else copy.deepcopy(self.network)
        return _FormattedNetwork(network, self.format).eval().requires_grad_(False)

    def require_calibration(self, target: str) -> NDArray[np.uint8]:
        """Return the crops that set int8 ranges, uint8 [images, size, size, 3].

        Args:
            target: the target the crops are for, for the error message.

        Raises:
            ExportError: the source has no calibration crops.
        """
        if self.calibration is None or len(self.calibration) == 0:
            raise ExportError(
                f"{self.spec.name} cannot be made {target} int8 without calibration crops; give faces of the training "
                "set, some 100 of different people"
            )
        return self.calibration

    @torch.inference_mode()
    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the network's embeddings of uint8 [images, size, size, 3] crops, float32 [images, dimension]."""
        pixels = torch.from_numpy(ExportFormat().preprocess(crops))
        return torch.cat([self.network(batch) for batch in torch.split(pixels, BATCH_SIZE)]).numpy()


def prepare_source(
    model: Network, format: ExportFormat, name: str, calibration: NDArray[np.uint8] | None = None
) -> ExportSource:
    """Return an export source with a frozen copy of a network; denormal weights become 0.

    Denormals slow down some processors a hundredfold; zeros differ from them by less than 1e-38.

    Args:
        model: a network of the registry; it is not changed.
        format: the input and output format of the files.
        name: the base name of the files.
        calibration: uint8 [images, size, size, 3] RGB faces that set int8 ranges.

    Raises:
        ExportError: the network takes pixels scaled in another way, or the calibration crops have another size.
    """
    size = model.spec.size
    if model.spec.normalization != "unit":
        raise ExportError(
            f"{model.spec.name} takes pixels scaled as '{model.spec.normalization}'; packages are for networks that "
            "take (x - 127.5) / 127.5 (model.normalization=unit), as InsightFace feeds them"
        )
    if calibration is not None and calibration.shape[1:] != (size, size, 3):
        expected = f"[images, {size}, {size}, 3]"
        raise ExportError(f"the calibration crops are {list(calibration.shape)}, {model.spec.name} takes {expected}")
    network = copy.deepcopy(model).float().cpu().eval().requires_grad_(False)
    for value in network.state_dict().values():
        if value.dtype == torch.float32:
            value[value.abs() < TINY] = 0.0
    return ExportSource(network, format, name, calibration)


class _FormattedNetwork(nn.Module):
    """A network with the scaling of pixels and the L2 normalization that its files contain."""

    def __init__(self, network: nn.Module, format: ExportFormat) -> None:
        super().__init__()
        self.network = network
        self.format = format

    def forward(self, x: Tensor) -> Tensor:
        """Map float [batch, 3, size, size] in the input format to float [batch, dimension]."""
        if self.format.input_dtype == "uint8":
            x = (x - 127.5) * (1 / 127.5)  # a multiplication, because InsightFace recognizes the scaling by one
        features: Tensor = self.network(x)
        return functional.normalize(features) if self.format.l2_normalized else features
