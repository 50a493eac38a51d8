"""Factors: feature maps compressed to fewer channels by a small auto-encoder, and the distance between two factors."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.comparable import check_comparable, compute_dtype
from facekd.losses.feature_maps import match_resolution, require_feature_maps
from facekd.losses.maps.norm import SafeBatchNorm2d
from facekd.losses.registry import Loss
from facekd.types import BatchContext, DatasetSize, ModelOutput
from facekd.utils.functional import l2_normalize

NEGATIVE_SLOPE = 0.1
"""The slope of the leaky ReLU below 0."""


class FactorCoder(nn.Module):
    """Three 3x3 convolutions that keep the resolution: [N, in_channels, H, W] -> [N, out_channels, H, W].

    The channels are in -> in -> out -> out. A batch norm and a leaky ReLU of slope 0.1 follow each convolution, which
    therefore needs no bias, and one more leaky ReLU precedes the first: the coder of Inheritance and Exploration (Huang
    et al., CVPR 2021) as its public code has it. The paraphraser and the translator of Factor Transfer (Kim et al.,
    NeurIPS 2018) have the same three convolutions.

    Args:
        in_channels: the number of channels of the feature map.
        out_channels: the number of channels of the factor.
        dtype: the dtype of the parameters.
    """

    def __init__(self, in_channels: int, out_channels: int, dtype: torch.dtype) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.LeakyReLU(NEGATIVE_SLOPE)]
        for before, after in ((in_channels, in_channels), (in_channels, out_channels), (out_channels, out_channels)):
            layers += [nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False, dtype=dtype),
                       SafeBatchNorm2d(after, dtype=dtype), nn.LeakyReLU(NEGATIVE_SLOPE)]
        self.in_channels = in_channels
        self.layers = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the factor of a feature map in any float dtype; raise a ModelError for a wrong number of channels."""
        if maps.shape[1] != self.in_channels:
            raise ModelError(f"a feature map has {maps.shape[1]} channels and the loss was created for "
                             f"{self.in_channels}: create a new loss for these networks")
        factor: Tensor = self.layers(maps.to(next(self.parameters()).dtype))
        return factor


class AutoEncoder(nn.Module):
    """A coder to the factor and a mirrored one back to the feature map; pretraining fits it to the teacher.

    Sources as for `FactorCoder`.

    Args:
        sample: a sample of the feature maps to reconstruct, [N, C, H, W].
        rate: the channels of the factor as a share of the feature map's, above 0 and at most 1; there is at least one.
        loss: the name of the loss, for the error message.

    Attributes:
        channels: the number of channels of the factor.

    Raises:
        ModelError: the rate is out of range.
    """

    def __init__(self, sample: Tensor, rate: float, loss: str) -> None:
        super().__init__()
        if not 0 < rate <= 1:
            raise ModelError(f"loss {loss}: rate must be above 0 and at most 1, not {rate}")
        self.channels = max(1, int(rate * sample.shape[1]))
        self.encoder = FactorCoder(sample.shape[1], self.channels, compute_dtype(sample))
        self.decoder = FactorCoder(self.channels, sample.shape[1], compute_dtype(sample))

    def forward(self, maps: Tensor) -> Tensor:
        """Return the factor [N, channels, H, W] of a feature map [N, C, H, W], which receives no gradient."""
        factor: Tensor = self.encoder(maps.detach())
        return factor

    def pretrain_loss(self, maps: Tensor) -> Tensor:
        """Return the reconstruction loss, the mean over all elements of |decoded factor - feature map|; a scalar."""
        reconstruction, maps = check_comparable(self.decoder(self(maps)), maps, "feature maps",
                                                "the auto-encoder was created for others")
        return functional.l1_loss(reconstruction, maps)


class FactorLoss(Loss):
    """Base class of losses that follow the factor of the teacher's last feature map, by a pretrained auto-encoder.

    Args:
        student: a sample output of the student.
        teacher: a sample output of the teacher.
        size: the number of images and of classes of the training set.
        rate: the channels of the factor as a share of the feature map's, as in `AutoEncoder`.
        pretrain_epochs: the epochs of pretraining of the auto-encoder.
    """

    family = "maps"

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, rate: float, pretrain_epochs: float
    ) -> None:
        super().__init__(student, teacher, size)
        extractor = AutoEncoder(require_feature_maps(teacher, "teacher", self.name)[-1], rate, self.name)
        self.teacher_modules["extractor"] = extractor.eval().requires_grad_(False)
        self.pretrain_epochs = pretrain_epochs

    @property
    def extractor(self) -> AutoEncoder:
        """The auto-encoder."""
        return cast(AutoEncoder, self.teacher_modules["extractor"])

    def pretrain_loss(self, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.pretrain_loss`: the reconstruction loss of the auto-encoder."""
        return self.extractor.pretrain_loss(require_feature_maps(teacher, "teacher", self.name)[-1])

    def factor(self, teacher: ModelOutput) -> Tensor:
        """Return the factor of the teacher's last feature map, [N, extractor.channels, H, W]."""
        factor: Tensor = self.extractor(require_feature_maps(teacher, "teacher", self.name)[-1])
        return factor


def match_factors(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Bring a student's and a teacher's factor to one resolution (`match_resolution`), in float32 or better.

    Raises:
        ModelError: they differ in channels or in the number of images.
    """
    return check_comparable(*match_resolution(student, teacher), "factors", "create a new loss for these networks")


def factor_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return d_1: the mean over all elements of |a / |a|_2 - b / |b|_2|, norms over an image's channels and positions.

    Kim et al. (NeurIPS 2018) and Huang et al. (CVPR 2021) write a p-norm; the public code of the latter has p = 1 and
    this mean. The distance of two unit vectors of D elements is at most 2 / sqrt(D), hence the large weights.

    Args:
        first: float [N, C, H, W], not zero.
        second: float, the same shape, not zero.
    """
    return functional.l1_loss(l2_normalize(first.flatten(1)), l2_normalize(second.flatten(1)))
