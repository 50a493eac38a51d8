"""Gates that turn a network's channels and blocks down to nothing: the graph in which students are searched."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, relu

from facekd.models.architectures.resnet_cifar import Block, ResNet
from facekd.models.architectures.resnet_pruned import LEAST, Layout


class Gates(nn.Module):
    """Gates g >= 0, at first 1, on the channels of a ResNet for CIFAR, each behind its batch normalisation.

    The outputs of a residual stage's blocks share one vector of gates (with the stem, where the first shortcut has no
    weights), since a channel of their sum goes only if all let it go; the inner convolutions have gates of their own.
    A block that can be dropped has one gate more, on its whole branch. A channel whose gate is 0 is 0 everywhere: the
    network without it answers the same. The form of the gates is our reading; the paper's full text was not available.

    Args:
        full: the network's channels.
        blocks: whether blocks may go.
    """

    def __init__(self, full: Layout, blocks: bool = True) -> None:
        super().__init__()
        self.full, self.tied = full, full.droppable(0, 0)
        self.stem = nn.Parameter(torch.ones(full.stem), requires_grad=not self.tied)
        self.shared = nn.ParameterList(torch.ones(width) for width in full.widths)
        self.inner = nn.ParameterList(torch.ones(count) for stage in full.inner for count in stage)
        self.kept = nn.ParameterList(torch.ones(1) for stage in full.inner for _ in stage)
        places = [(stage, block) for stage, inner in enumerate(full.inner) for block in range(len(inner))]
        for gate, (stage, block) in zip(self.kept, places, strict=True):
            gate.requires_grad_(blocks and full.droppable(stage, block))

    def forward(self, network: ResNet, x: Tensor) -> Tensor:
        """What the network makes of float [N, 3, size, size] behind these gates: float [N, outputs]."""
        number = 0
        x = relu(_gate(self.shared[0] if self.tied else self.stem, network.bn1(network.conv1(x))))
        for layer, shared in zip((network.layer1, network.layer2, network.layer3), self.shared, strict=True):
            for block in layer:
                assert isinstance(block, Block)
                inner = relu(_gate(self.inner[number], block.bn1(block.conv1(x))))
                branch = self.kept[number] * _gate(shared, block.bn2(block.conv2(inner)))
                plain = isinstance(block.downsample, nn.Identity)
                x = relu(branch + (x if plain else _gate(shared, block.downsample(x))))
                number += 1
        out: Tensor = network.fc(torch.flatten(adaptive_avg_pool2d(x, 1), 1))
        return out

    def vectors(self) -> list[tuple[nn.Parameter, Layout]]:
        """Every vector of gates that can reach 0, and the network less a channel, or block, of it."""
        full = self.full.counts
        found = [] if self.tied else [(self.stem, self._less({0: 1}))]
        found += [(gate, self._less({0: int(self.tied and place == 1), place: 1}))
                  for place, gate in enumerate(self.shared, 1)]
        found += [(gate, self._less({place: 1})) for place, gate in enumerate(self.inner, 4)]
        return found + [(gate, self._less({place: full[place]}))
                        for place, gate in enumerate(self.kept, 4) if gate.requires_grad]

    def _less(self, taken: Mapping[int, int]) -> Layout:
        return self.full.like([count - taken.get(place, 0) for place, count in enumerate(self.full.counts)])

    def layout(self, threshold: float = 0.0) -> Layout:
        """What is left without the gates up to a threshold; a layer keeps `LEAST` channels."""
        stem = self.shared[0] if self.tied else self.stem
        counts = [max(LEAST, int((gate > threshold).sum())) for gate in (stem, *self.shared, *self.inner)]
        for block, gate in enumerate(self.kept):
            if gate.requires_grad and gate.item() <= threshold:
                counts[4 + block] = 0
        return self.full.like(counts)

    def without(self, block: Tensor) -> Layout:
        """The network at full width without the blocks that are closed, and without that of this gate."""
        stays = [gate is not block and not (gate.requires_grad and gate.item() <= 0) for gate in self.kept]
        return self.full.like([count if one else 0 for count, one in
                               zip(self.full.counts, [True] * 4 + stays, strict=True)])

    def thresholds(self) -> list[float]:
        """All that make a difference, rising."""
        return sorted({0.0, *(value for gate, _ in self.vectors() for value in gate.tolist())})


def _gate(gate: Tensor, maps: Tensor) -> Tensor:
    return maps * gate.view(-1, 1, 1)

