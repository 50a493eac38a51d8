"""Pruned ResNets for CIFAR, the results of ``facekd search``, as an architecture with a description of one line.

All blocks of a residual stage have the same output width, because they are added; each block has its own inner width,
or is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeAlias

from torch import nn

from facekd.errors import ModelError
from facekd.io.reading import parse_whole_number
from facekd.models.architectures.layers import initialize_convolutions
from facekd.models.architectures.resnet_cifar import Block, ResNet
from facekd.models.registry import Network, register
from facekd.text import short_repr

MIN_CHANNELS = 8
"""Smallest number of channels of a layer; torch 2.13 corrupts its heap in narrower shortcuts on a CPU."""
MAX_BLOCKS = 500
EXAMPLE_PLAN = "16/16:16,-,8/32:32,20,24/64:48,64,-"

Convolution: TypeAlias = "tuple[int, int, int, int]"
"""Input channels, output channels, side of the kernel, side of the output map."""


@dataclass(frozen=True)
class Layout:
    """The channels of a ResNet for CIFAR.

    Attributes:
        stem: channels of the first convolution.
        widths: output channels of the three stages.
        inner: for each stage, the channels between the two convolutions of each block; 0 for a dropped block.
    """

    stem: int
    widths: tuple[int, int, int]
    inner: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    @classmethod
    def from_network(cls, network: ResNet) -> Layout:
        """Return the layout of a network; blocks that were dropped do not appear in it."""
        layers = (network.layer1, network.layer2, network.layer3)
        blocks = [[b for b in layer if isinstance(b, Block)] for layer in layers]
        stem = network.conv1.out_channels
        widths = [stage[-1].conv2.out_channels if stage else stem for stage in blocks]
        first, second, third = (tuple(b.conv1.out_channels for b in stage) for stage in blocks)
        return cls(stem, (widths[0], widths[1], widths[2]), (first, second, third))

    @classmethod
    def parse(cls, text: str) -> Layout:
        """Parse a plan, the ``str`` of a layout: stem, then for each stage its width and its blocks' inner widths.

        A dropped block is written as ``-``.

        Raises:
            ModelError: the plan has another form, a layer is too narrow, or a dropped block would change the shape.
        """
        stem, *rest = text.split("/")
        stages = [stage.split(":") for stage in rest]
        if len(stages) != 3 or any(len(stage) != 2 for stage in stages):
            raise ModelError(f"resnet_pruned: plan {short_repr(text)} needs a stem and three stages, as in "
                             f"{EXAMPLE_PLAN}")
        if text.count(",") > MAX_BLOCKS:
            raise ModelError(f"resnet_pruned: plan {short_repr(text)} has more than {MAX_BLOCKS} blocks; shorten it")
        first, second, third = (
            tuple(0 if word == "-" else _parse_channels(word, text) for word in inner.split(",")) for _, inner in stages
        )
        widths = [_parse_channels(width, text) for width, _ in stages]
        layout = cls(_parse_channels(stem, text), (widths[0], widths[1], widths[2]), (first, second, third))
        for number, inner in enumerate(layout.inner):
            if not inner[0] and not layout.is_droppable(number, 0):
                raise ModelError(f"resnet_pruned: plan {short_repr(text)} drops the first block of stage {number + 1}, "
                                 "which changes the shape; give it an inner width")
        return layout

    def __str__(self) -> str:
        """Return the plan, see `parse`."""
        stages = (f"{width}:{','.join(str(count or '-') for count in inner) or '-'}"
                  for width, inner in zip(self.widths, self.inner, strict=True))
        return "/".join([str(self.stem), *stages])

    @property
    def channel_counts(self) -> list[int]:
        """The channels of the stem, of the outputs of the stages, and inside the blocks, in this order."""
        return [self.stem, *self.widths, *(count for inner in self.inner for count in inner)]

    def with_channel_counts(self, counts: Sequence[int]) -> Layout:
        """Return a layout with as many blocks and other `channel_counts`."""
        stem, first, second, third, *inner = counts
        ends = [0, *accumulate(map(len, self.inner))]
        one, two, three = (tuple(inner[begin:end]) for begin, end in pairwise(ends))
        return Layout(stem, (first, second, third), (one, two, three))

    def is_droppable(self, stage: int, block: int) -> bool:
        """Return whether a block can be dropped: its shortcut has no weights, so that only its input remains."""
        return block > 0 or (stage == 0 and self.stem == self.widths[0])

    def count_macs(self, size: int, outputs: int) -> int:
        """Count the multiply-adds for one image as `facekd.models.complexity.count_macs` does."""
        return sum(i * o * k * k * side * side for i, o, k, side in self.convolutions(size)) + self.widths[2] * outputs

    def count_parameters(self, outputs: int) -> int:
        """Count the parameters as `facekd.models.complexity.count_parameters` does."""
        convolutions = sum(i * o * k * k + 2 * o for i, o, k, _ in self.convolutions(1))
        return convolutions + (self.widths[2] + 1) * outputs

    def convolutions(self, size: int) -> Iterator[Convolution]:
        """Yield all convolutions of the network for images of this side; a batch normalization follows each of them."""
        yield 3, self.stem, 3, size
        inputs = self.stem
        for stage, (width, inner) in enumerate(zip(self.widths, self.inner, strict=True)):
            side = size >> stage
            for block, count in enumerate(inner):
                if not count:
                    continue
                yield inputs, count, 3, side
                yield count, width, 3, side
                if not (block > 0 or (stage == 0 and inputs == width)):
                    yield inputs, width, 1, side
                inputs = width


def _parse_channels(word: str, text: str) -> int:
    """Parse a number of channels in a plan."""
    count = parse_whole_number(word)
    if count is None or not MIN_CHANNELS <= count <= 4096:
        raise ModelError(f"resnet_pruned: plan {short_repr(text)}: {short_repr(word, 40)} is no number of channels "
                         f"from {MIN_CHANNELS} to 4096")
    return count


class PrunedBlock(Block):
    """A block whose number of channels between its convolutions differs from that of its output."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, stride)
        self.conv1 = nn.Conv2d(inputs, inner, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, outputs, 3, padding=1, bias=False)


class PrunedResNet(ResNet):
    """A ResNet for CIFAR with the channels of a layout.

    Args:
        outputs: length of the output.
        layout: the channels of its layers.
    """

    def __init__(self, outputs: int, layout: Layout) -> None:
        nn.Module.__init__(self)  # not that of ResNet, which would create layers of other widths
        stem = layout.stem
        first, second, third = layout.widths
        self.conv1 = nn.Conv2d(3, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = _stage(stem, first, layout.inner[0], 1)
        self.layer2 = _stage(first, second, layout.inner[1], 2)
        self.layer3 = _stage(second, third, layout.inner[2], 2)
        self.fc = nn.Linear(third, outputs)
        initialize_convolutions(self)


def _stage(inputs: int, outputs: int, inner: tuple[int, ...], stride: int) -> nn.Sequential:
    """Return the blocks of a stage that are not dropped; the first of them changes the shape."""
    blocks: list[nn.Module] = []
    for count in inner:
        if count and not blocks:
            blocks.append(PrunedBlock(inputs, count, outputs, stride))
        elif count:
            blocks.append(PrunedBlock(outputs, count, outputs, 1))
    return nn.Sequential(*blocks)


@register
def resnet_pruned(
    size: int, outputs: int, *, plan: str = "16/16:16,16,16/32:32,32,32/64:64,64,64"
) -> Network:
    """A pruned CIFAR ResNet found by ``facekd search``; by default resnet20, 0.278 M parameters, 40.8 MMAC."""
    return PrunedResNet(outputs, Layout.parse(plan))
