"""Types exchanged between networks and losses: the model output, the batch context and the size of the dataset."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ModelOutput:
    """The output of one network for a batch of N images.

    Attributes:
        outputs: float [N, D], embeddings or logits.
        feature_maps: float [N, C, H, W] after each network stage, shallow to deep; empty if they were not requested.
        pre_logits: float [N, F], the input of a classifier's last layer; None if it was not requested.
    """

    outputs: Tensor
    feature_maps: tuple[Tensor, ...] = ()
    pre_logits: Tensor | None = None

    @property
    def features(self) -> Tensor:
        """Float [N, F]: the input of a classifier's last layer; for a face network the embedding itself."""
        return self.outputs if self.pre_logits is None else self.pre_logits


@dataclass(frozen=True)
class BatchContext:
    """The facts about a batch of N images that losses may use.

    Attributes:
        labels: int64 [N], the true classes.
        index: int64 [N], the positions of the images in the training set, on the CPU.
        progress: share of the training steps that are done, in [0, 1).
    """

    labels: Tensor
    index: Tensor
    progress: float = 0.0


@dataclass(frozen=True)
class DatasetSize:
    """The size of the training set, for losses that store something for every image or class.

    Attributes:
        images: number of images.
        classes: number of classes.
    """

    images: int
    classes: int
