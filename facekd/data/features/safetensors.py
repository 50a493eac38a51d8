"""Features in safetensors, memory-mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from facekd.data.containers.path_list import some
from facekd.data.feature_set import Features, FeatureSet
from facekd.errors import DataError


class TensorFeatures(FeatureSet):
    """Features in a memory-mapped tensor, for the types that NumPy lacks (bfloat16) as well.

    Args:
        tensor: float or int8 [rows, dimension].
        path: as `FeatureSet`.
    """

    def __init__(self, tensor: Tensor, path: Path) -> None:
        self.path, self.dimension, self._tensor = path, tensor.shape[1], tensor

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._tensor)

    def block(self, start: int, stop: int) -> Features:
        """See `FeatureSet.block`."""
        return np.asarray(self._tensor[start:stop].float().numpy(), np.float32)


def open_tensors(path: Path) -> TensorFeatures:
    """Open ``NAME.safetensors`` without reading it.

    Raises:
        DataError: damaged, no tensor ``features`` nor one that can be meant, or labels of another length.
    """
    try:
        with safe_open(path, "pt") as handle:
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as problem:
        raise DataError(f"{path} is no readable safetensors file ({problem}); write it again") from problem
    fit = [name for name, tensor in tensors.items()
           if tensor.ndim == 2 and (tensor.is_floating_point() or tensor.dtype == torch.int8) and tensor.numel()]
    chosen = ["features"] if "features" in fit else fit
    if len(chosen) != 1:
        needs = f"{path} needs one float or int8 tensor 'features' [rows, dimension]"
        raise DataError(f"{needs}; it holds {_described(tensors)}")
    found = TensorFeatures(tensors[chosen[0]], path)
    if "labels" in tensors:
        labels = tensors["labels"]
        numbers = (labels.float() if labels.is_floating_point() else labels).numpy()  # NumPy has no bfloat16
        found.labels = whole_numbers(numbers, f"{path}, tensor 'labels',", found)
    return found


def _described(tensors: dict[str, Tensor]) -> str:
    shown = [f"{name} {str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
             for name, tensor in tensors.items()]
    return some(shown) or "none"


def whole_numbers(labels: NDArray[Any], where: str, found: FeatureSet) -> NDArray[np.int64]:
    """Labels as int64 [rows]; where they are no such numbers, ``where`` is said to hold something else."""
    if labels.shape != (len(found),) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{where} holds {labels.dtype} {labels.shape}; {found.path.name} needs whole numbers ({len(found)},)"
        )
    return np.array(labels, np.int64)
