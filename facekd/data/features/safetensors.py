"""Features in a safetensors file, memory-mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from facekd.data.containers.path_list import abbreviate
from facekd.data.feature_set import Features, FeatureSet
from facekd.errors import DataError
from facekd.io.reading import reading
from facekd.text import path_text, shorten


class TensorFeatures(FeatureSet):
    """Features in a memory-mapped tensor; unlike NumPy, torch also reads bfloat16.

    Args:
        tensor: float or int8 [rows, dimension].
        path: the name of the rows in error messages.
    """

    def __init__(self, tensor: Tensor, path: Path) -> None:
        self.path = path
        self.dimension = tensor.shape[1]
        self._tensor = tensor

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._tensor)

    def read_rows(self, start: int, stop: int) -> Features:
        """See `FeatureSet.read_rows`."""
        return np.asarray(self._tensor[start:stop].float().numpy(), np.float32)


def open_safetensors(path: Path) -> TensorFeatures:
    """Open ``NAME.safetensors`` without reading its rows.

    The features are the tensor ``features``; or, if there is no such tensor, the only one that could be features.

    Raises:
        DataError: the file is damaged, the features cannot be identified, or the labels have another length.
    """
    with reading(path, kind="safetensors", remedy="write it again"), safe_open(path, "pt") as handle:
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a mapping)
    candidates = [name for name, tensor in tensors.items() if _can_be_features(tensor)]
    if "features" in candidates:
        candidates = ["features"]
    if len(candidates) != 1:
        raise DataError(
            f"{path_text(path)} needs one float or int8 tensor 'features' [rows, dimension]; it holds "
            f"{_describe(tensors)}"
        )
    features = TensorFeatures(tensors[candidates[0]], path)
    if "labels" in tensors:
        labels = tensors["labels"]
        if labels.is_floating_point():  # to be refused below; NumPy has no bfloat16
            labels = labels.float()
        features.labels = integer_labels(labels.numpy(), f"{path_text(path)}, tensor 'labels',", features)
    return features


def _can_be_features(tensor: Tensor) -> bool:
    has_type = tensor.is_floating_point() or tensor.dtype == torch.int8
    return has_type and tensor.ndim == 2 and tensor.numel() > 0


def _describe(tensors: dict[str, Tensor]) -> str:
    """Return the name, type and shape of the first few tensors."""
    descriptions = [f"{shorten(name, 30)} {str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
                    for name, tensor in tensors.items()]
    return abbreviate(descriptions) or "none"


def integer_labels(labels: NDArray[Any], description: str, features: FeatureSet) -> NDArray[np.int64]:
    """Convert labels to int64 [rows].

    Args:
        labels: the array from a file.
        description: the name of the array in the error message.
        features: the rows to which the labels belong.

    Raises:
        DataError: the labels are not integers, or there is not one per row.
    """
    if labels.shape != (len(features),) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{description} holds {shorten(labels.dtype, 40)} {labels.shape}; {path_text(features.path.name)} needs "
            f"whole numbers ({len(features)},)"
        )
    return np.array(labels, np.int64)
