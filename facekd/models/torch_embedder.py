"""A torch network as an `Embedder`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.models.embedder import Embedder
from facekd.models.registry import Network


class TorchEmbedder(Embedder):
    """A torch network for inference.

    Args:
        model: a network of the registry, whose spec has the size of its crops and embeddings; it is put into
            evaluation mode and moved to ``device`` in place.
        name: the name in tables; by default that of the architecture.
        device: the device to run on.
        batch_size: number of images in one forward pass.
    """

    def __init__(
        self, model: Network, name: str | None = None, device: torch.device | str = "cpu", batch_size: int = 256
    ) -> None:
        self.name = name or model.spec.name
        self.size = model.spec.size
        self.dimension = model.spec.outputs
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.model: Network = model.eval()
        self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.fingerprint = weights_fingerprint(model.state_dict())

    def input_facts(self) -> dict[str, Any]:
        """See `Embedder.input_facts`."""
        return {"pixels": self.model.spec.normalization, "channels": "rgb", "source": "network"}

    @torch.inference_mode()
    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute embeddings, float32 [batch, dimension], not normalized; see `Embedder.forward`."""
        features = np.empty((len(crops), self.dimension), np.float32)
        for start in range(0, len(crops), self.batch_size):
            images = torch.from_numpy(np.ascontiguousarray(crops[start : start + self.batch_size]))
            output = self.model(self.model.preprocess(images.to(self.device)))
            features[start : start + len(images)] = output.float().cpu().numpy()
        return features


def weights_fingerprint(state: Mapping[str, Tensor]) -> str:
    """Compute the hexadecimal SHA-256 of a state dict, names sorted; it is the same on every device."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
