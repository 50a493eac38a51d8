"""A torch network behind the `Embedder` interface."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.models.embedder import Embedder
from facekd.models.registry import Network


class TorchEmbedder(Embedder):
    """A torch network that is only asked, never trained.

    Args:
        model: a network of the registry, whose spec tells the size of its crops and embeddings; it is put into eval
            mode and moved to ``device`` in place.
        name: how tables call it, by default its architecture.
        device: where it runs.
        batch: images in one forward pass.
    """

    def __init__(
        self, model: Network, name: str | None = None, device: torch.device | str = "cpu", batch: int = 256
    ) -> None:
        self.name, self.size, self.dimension = name or model.spec.name, model.spec.size, model.spec.outputs
        self.device, self.batch = torch.device(device), batch
        self.model = model.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.fingerprint = weights_fingerprint(model.state_dict())

    @torch.inference_mode()
    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw embeddings, float32 [batch, dimension]; see `Embedder.forward`."""
        features = np.empty((len(crops), self.dimension), np.float32)
        for start in range(0, len(crops), self.batch):
            part = torch.from_numpy(np.ascontiguousarray(crops[start : start + self.batch]))
            output = self.model(self.model.inputs(part.to(self.device)))
            features[start : start + len(part)] = output.float().cpu().numpy()
        return features


def weights_fingerprint(state: Mapping[str, Tensor]) -> str:
    """Hexadecimal SHA-256 over the names and bytes of a state dict, names sorted; the same on every device."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
