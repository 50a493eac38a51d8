"""Factors: a map as a small auto-encoder retells it, in fewer channels, and how far two factors lie apart."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.comparable import comparable, exact
from facekd.losses.feature_maps import level, maps_of
from facekd.losses.maps.norm import Norm
from facekd.losses.registry import Loss
from facekd.types import Answer, Question, Size
from facekd.utils.functional import unit

SLOPE = 0.1
"""Of the leaky ReLU, below 0."""


class Coder(nn.Module):
    """Three 3x3 convolutions that keep the side: [N, cin, H, W] -> [N, cout, H, W].

    Channels go cin -> cin -> cout -> cout. A batch norm and a leaky ReLU of slope 0.1 follow each convolution, so that
    it needs no bias, and one more leaky ReLU stands before the first: the coder of Inheritance and Exploration (Huang
    et al., CVPR 2021) as its public code has it. The paraphraser and the translator of Factor Transfer (Kim et al.,
    NeurIPS 2018) are of the same three convolutions.

    Args:
        cin: channels of the map.
        cout: channels of the factor.
        dtype: of its parameters.
    """

    def __init__(self, cin: int, cout: int, dtype: torch.dtype) -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.LeakyReLU(SLOPE)]
        for before, after in ((cin, cin), (cin, cout), (cout, cout)):
            parts += [nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False, dtype=dtype),
                      Norm(after, dtype=dtype), nn.LeakyReLU(SLOPE)]
        self.cin, self.layers = cin, nn.Sequential(*parts)

    def forward(self, maps: Tensor) -> Tensor:
        """The factor of a map in any float dtype; a ModelError where the map has other channels than cin."""
        if maps.shape[1] != self.cin:
            raise ModelError(f"a map has {maps.shape[1]} channels and the loss was made for {self.cin}: "
                             "make a new one for these networks")
        factor: Tensor = self.layers(maps.to(next(self.parameters()).dtype))
        return factor


class AutoEncoder(nn.Module):
    """A coder to the factor and a mirrored one back to the map, which learns in lessons (same sources as `Coder`).

    Args:
        sample: a map [N, C, H, W] of those it will retell.
        rate: channels of the factor as a share of the map's, above 0 and at most 1; there is at least one.
        loss: the name of the loss that asks, for the error's sentence.

    Attributes:
        channels: of the factor.

    Raises:
        ModelError: a rate that cannot be.
    """

    def __init__(self, sample: Tensor, rate: float, loss: str) -> None:
        super().__init__()
        if not 0 < rate <= 1:
            raise ModelError(f"loss {loss}: rate must be above 0 and at most 1, not {rate}")
        self.channels = max(1, int(rate * sample.shape[1]))
        self.encoder = Coder(sample.shape[1], self.channels, exact(sample))
        self.decoder = Coder(self.channels, sample.shape[1], exact(sample))

    def forward(self, maps: Tensor) -> Tensor:
        """The factor [N, channels, H, W] of a map [N, C, H, W], which receives no gradient."""
        result: Tensor = self.encoder(maps.detach())
        return result

    def lesson(self, maps: Tensor) -> Tensor:
        """Mean over all elements of |decoded factor - map|, which is what it learns by; a scalar."""
        retold, maps = comparable(self.decoder(self(maps)), maps, "maps", "the auto-encoder was made for others")
        return functional.l1_loss(retold, maps)


class FactorLoss(Loss):
    """What follows the factor of the teacher's last map, by an auto-encoder that learns in lessons.

    Args:
        student: as of any loss.
        teacher: likewise.
        size: likewise.
        rate: as of `AutoEncoder`.
        lessons: epochs of lessons.
    """

    def __init__(self, student: Answer, teacher: Answer, size: Size, rate: float, lessons: float) -> None:
        super().__init__(student, teacher, size)
        extractor = AutoEncoder(maps_of(teacher, "teacher", self.name)[-1], rate, self.name)
        self.prepared["extractor"] = extractor.eval().requires_grad_(False)
        self.lessons = lessons

    @property
    def extractor(self) -> AutoEncoder:
        """The auto-encoder."""
        return cast(AutoEncoder, self.prepared["extractor"])

    def lesson(self, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.lesson`."""
        return self.extractor.lesson(maps_of(teacher, "teacher", self.name)[-1])

    def factor(self, teacher: Answer) -> Tensor:
        """Of the teacher's last map, [N, extractor.channels, H, W]."""
        result: Tensor = self.extractor(maps_of(teacher, "teacher", self.name)[-1])
        return result


def levelled(own: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """A student's and a teacher's factor of one height and width (`stages.level`), in float32 or better.

    Raises:
        ModelError: they differ in channels or images.
    """
    return comparable(*level(own, target), "factors", "make a new loss for these networks")


def distance(own: Tensor, target: Tensor) -> Tensor:
    """d_1: mean over all elements of |a / |a|_2 - b / |b|_2|, norms over an image's channels and places.

    Kim et al. (NeurIPS 2018) and Huang et al. (CVPR 2021) write a p-norm; the public code of the latter has p = 1 and
    this mean. Two unit vectors of D elements can be no further apart than 2 / sqrt(D), hence the large weights.

    Args:
        own: float [N, C, H, W], of any length but 0.
        target: likewise, as large.
    """
    return functional.l1_loss(unit(own.flatten(1)), unit(target.flatten(1)))
