"""Subgraphs of the ResNets for CIFAR: what ``facekd search`` finds, as an architecture whose description is one line.

A residual stage has one width, because its blocks add to each other; each block has an inner width of its own, or is
dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeAlias

from torch import nn

from facekd.errors import ModelError
from facekd.models.architectures.layers import initialise_convolutions
from facekd.models.architectures.resnet_cifar import Block, ResNet
from facekd.models.registry import Network, register

LEAST = 8
"""Channels a layer keeps at least; torch 2.13 corrupts its heap in narrower shortcuts on a CPU."""
EXAMPLE = "16/16:16,-,8/32:32,20,24/64:48,64,-"

Convolution: TypeAlias = "tuple[int, int, int, int]"
"""Channels in, channels out, side of the kernel, side of the map that leaves it."""


@dataclass(frozen=True)
class Layout:
    """The channels of a ResNet for CIFAR.

    Attributes:
        stem: of the first convolution.
        widths: of the three stages' outputs.
        inner: of each stage: between the two convolutions of every block; 0 where the block is dropped.
    """

    stem: int
    widths: tuple[int, int, int]
    inner: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    @classmethod
    def of(cls, network: ResNet) -> Layout:
        """The layout of a network; of blocks that were dropped nothing is left to be seen."""
        layers = (network.layer1, network.layer2, network.layer3)
        blocks = [[b for b in layer if isinstance(b, Block)] for layer in layers]
        stem = network.conv1.out_channels
        widths = [stage[-1].conv2.out_channels if stage else stem for stage in blocks]
        first, second, third = (tuple(b.conv1.out_channels for b in stage) for stage in blocks)
        return cls(stem, (widths[0], widths[1], widths[2]), (first, second, third))

    @classmethod
    def parse(cls, text: str) -> Layout:
        """A layout from ``str`` of one: stem, then a stage's width and its blocks' inner widths, ``-`` if dropped.

        Raises:
            ModelError: another form, a layer that is too narrow, or a block dropped that changes the shape.
        """
        stem, *rest = text.split("/")
        stages = [stage.split(":") for stage in rest]
        if len(stages) != 3 or any(len(stage) != 2 for stage in stages):
            raise ModelError(f"resnet_found: plan '{text}' needs a stem and three stages, as in {EXAMPLE}")
        first, second, third = (
            tuple(0 if word == "-" else _count(word, text) for word in inner.split(",")) for _, inner in stages
        )
        widths = [_count(width, text) for width, _ in stages]
        layout = cls(_count(stem, text), (widths[0], widths[1], widths[2]), (first, second, third))
        for number, inner in enumerate(layout.inner):
            if not inner[0] and not layout.droppable(number, 0):
                raise ModelError(f"resnet_found: plan '{text}' drops the first block of stage {number + 1}, which "
                                 "changes the shape; give it an inner width")
        return layout

    def __str__(self) -> str:
        stages = (f"{width}:{','.join(str(count or '-') for count in inner) or '-'}"
                  for width, inner in zip(self.widths, self.inner, strict=True))
        return "/".join([str(self.stem), *stages])

    @property
    def counts(self) -> list[int]:
        """Channels of the stem, of the stages' outputs, and inside the blocks in order."""
        return [self.stem, *self.widths, *(count for inner in self.inner for count in inner)]

    def like(self, counts: Sequence[int]) -> Layout:
        """A layout of as many blocks with other ``counts``."""
        stem, first, second, third, *inner = counts
        ends = [0, *accumulate(map(len, self.inner))]
        one, two, three = (tuple(inner[begin:end]) for begin, end in pairwise(ends))
        return Layout(stem, (first, second, third), (one, two, three))

    def droppable(self, stage: int, block: int) -> bool:
        """Whether a block's shortcut has no weights, so that what is left without the block is its input."""
        return block > 0 or (stage == 0 and self.stem == self.widths[0])

    def macs(self, size: int, outputs: int) -> int:
        """Multiply-adds of one image, as `facekd.models.complexity.macs` counts them."""
        return sum(i * o * k * k * side * side for i, o, k, side in self.convolutions(size)) + self.widths[2] * outputs

    def parameters(self, outputs: int) -> int:
        """Weights, as `facekd.models.complexity.parameters` counts them."""
        convolutions = sum(i * o * k * k + 2 * o for i, o, k, _ in self.convolutions(1))
        return convolutions + (self.widths[2] + 1) * outputs

    def convolutions(self, size: int) -> Iterator[Convolution]:
        """Every convolution of the network for images of this side; each has a batch normalisation behind it."""
        yield 3, self.stem, 3, size
        before = self.stem
        for stage, (width, inner) in enumerate(zip(self.widths, self.inner, strict=True)):
            side = size >> stage
            for block, count in enumerate(inner):
                if not count:
                    continue
                yield before, count, 3, side
                yield count, width, 3, side
                if not (block > 0 or (stage == 0 and before == width)):
                    yield before, width, 1, side
                before = width


def _count(word: str, text: str) -> int:
    if not word.isdecimal() or not LEAST <= int(word) <= 4096:
        raise ModelError(f"resnet_found: plan '{text}': '{word}' is no number of channels from {LEAST} to 4096")
    return int(word)


class FoundBlock(Block):
    """A block with fewer channels between its convolutions than it puts out."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, stride)
        self.conv1 = nn.Conv2d(inputs, inner, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, outputs, 3, padding=1, bias=False)


class FoundResNet(ResNet):
    """A ResNet for CIFAR with the channels of a layout.

    Args:
        outputs: length of the output.
        layout: its channels.
    """

    def __init__(self, outputs: int, layout: Layout) -> None:
        nn.Module.__init__(self)  # the layers are made here
        stem, (first, second, third) = layout.stem, layout.widths
        self.conv1 = nn.Conv2d(3, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = _stage(stem, first, layout.inner[0], 1)
        self.layer2 = _stage(first, second, layout.inner[1], 2)
        self.layer3 = _stage(second, third, layout.inner[2], 2)
        self.fc = nn.Linear(third, outputs)
        initialise_convolutions(self)


def _stage(inputs: int, outputs: int, inner: tuple[int, ...], stride: int) -> nn.Sequential:
    """The blocks of a stage that are not dropped."""
    blocks: list[nn.Module] = []
    for count in inner:
        if count and not blocks:
            blocks.append(FoundBlock(inputs, count, outputs, stride))
        elif count:
            blocks.append(FoundBlock(outputs, count, outputs, 1))
    return nn.Sequential(*blocks)


@register
def resnet_found(
    size: int, outputs: int, *, plan: str = "16/16:16,16,16/32:32,32,32/64:64,64,64"
) -> Network:
    """A subgraph of a CIFAR ResNet found by ``facekd search``; by default resnet20, 0.278 M parameters, 40.8 MMAC."""
    return FoundResNet(outputs, Layout.parse(plan))
