"""Gates on the channels and blocks of a network, which a channel search reduces to 0."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, relu

from facekd.models.architectures.resnet_cifar import Block, ResNet
from facekd.models.architectures.resnet_pruned import MIN_CHANNELS, Layout


class Gates(nn.Module):
    """Gates g >= 0, initially 1, on the channels of a ResNet for CIFAR, each after its batch normalization.

    The outputs of a residual stage's blocks share one vector of gates (and the stem shares that of the first stage if
    the first shortcut has no weights), because a channel of their sum can be removed only if all of them remove it. The
    inner convolutions have gates of their own. A block that can be dropped has one more gate on its branch. A channel
    with gate 0 is 0 everywhere: the network without it has the same outputs. The form of the gates is our reading; the
    paper's full text was not available.

    Args:
        full_layout: the channels of the network.
        drop_blocks: whether blocks may be dropped.

    Attributes:
        stem_tied: whether the stem uses the gates of the first stage.
        stem_gates: gates of the stem.
        stage_gates: gates of the outputs of each stage.
        inner_gates: gates between the convolutions of each block, in the order of the blocks.
        block_gates: one gate on the branch of each block, in the order of the blocks.
    """

    def __init__(self, full_layout: Layout, drop_blocks: bool = True) -> None:
        super().__init__()
        self.full_layout = full_layout
        self.stem_tied = full_layout.is_droppable(0, 0)
        blocks = [(stage, block) for stage, inner in enumerate(full_layout.inner) for block in range(len(inner))]
        self.stem_gates = nn.Parameter(torch.ones(full_layout.stem), requires_grad=not self.stem_tied)
        self.stage_gates = nn.ParameterList(torch.ones(width) for width in full_layout.widths)
        self.inner_gates = nn.ParameterList(torch.ones(channels) for channels in self._inner_channels)
        self.block_gates = nn.ParameterList(torch.ones(1) for _ in blocks)
        for gate, (stage, block) in zip(self.block_gates, blocks, strict=True):
            gate.requires_grad_(drop_blocks and full_layout.is_droppable(stage, block))

    def forward(self, network: ResNet, x: Tensor) -> Tensor:
        """Return the outputs of the gated network: float [N, outputs].

        Args:
            network: the network with the channels of ``full_layout``.
            x: float [N, 3, size, size].
        """
        number = 0
        stem_gates = self.stage_gates[0] if self.stem_tied else self.stem_gates
        x = relu(_apply_gates(stem_gates, network.bn1(network.conv1(x))))
        for layer, stage_gates in zip((network.layer1, network.layer2, network.layer3), self.stage_gates, strict=True):
            for block in layer:
                assert isinstance(block, Block)
                inner = relu(_apply_gates(self.inner_gates[number], block.bn1(block.conv1(x))))
                branch = self.block_gates[number] * _apply_gates(stage_gates, block.bn2(block.conv2(inner)))
                # The identity needs no gates: the closed channels of its input are 0 already.
                identity = isinstance(block.downsample, nn.Identity)
                x = relu(branch + (x if identity else _apply_gates(stage_gates, block.downsample(x))))
                number += 1
        outputs: Tensor = network.fc(torch.flatten(adaptive_avg_pool2d(x, 1), 1))
        return outputs

    def prunable_gates(self) -> list[tuple[nn.Parameter, Layout]]:
        """Return each vector of gates that can reach 0, with the layout of the network without one of its channels.

        For the gate of a block it is the layout without the block.
        """
        full = self.full_layout
        gates: list[tuple[nn.Parameter, Layout]] = []
        if not self.stem_tied:
            gates.append((self.stem_gates, replace(full, stem=full.stem - 1)))
        for stage, gate in enumerate(self.stage_gates):
            stem = full.stem - 1 if self.stem_tied and stage == 0 else full.stem
            widths = [width - 1 if index == stage else width for index, width in enumerate(full.widths)]
            gates.append((gate, full.with_channel_counts([stem, *widths, *self._inner_channels])))
        for block, gate in enumerate(self.inner_gates):
            gates.append((gate, self._with_inner_channels(block, self._inner_channels[block] - 1)))
        for block, gate in enumerate(self.block_gates):
            if gate.requires_grad:
                gates.append((gate, self._with_inner_channels(block, 0)))
        return gates

    def layout(self, threshold: float = 0.0) -> Layout:
        """Return the layout of the gates above a threshold; a layer keeps at least ``MIN_CHANNELS`` channels."""
        stem = _open_channels(self.stage_gates[0] if self.stem_tied else self.stem_gates, threshold)
        widths = [_open_channels(gate, threshold) for gate in self.stage_gates]
        inner = [0 if block_gate.requires_grad and block_gate.item() <= threshold else _open_channels(gate, threshold)
                 for gate, block_gate in zip(self.inner_gates, self.block_gates, strict=True)]
        return self.full_layout.with_channel_counts([stem, *widths, *inner])

    def without_block(self, block_gate: Tensor) -> Layout:
        """Return the layout at full width without the closed blocks, and without the block of this gate."""
        full = self.full_layout
        inner = []
        for gate, channels in zip(self.block_gates, self._inner_channels, strict=True):
            is_closed = gate.requires_grad and gate.item() <= 0
            inner.append(0 if gate is block_gate or is_closed else channels)
        return full.with_channel_counts([full.stem, *full.widths, *inner])

    def thresholds(self) -> list[float]:
        """Return all thresholds that give different layouts, in ascending order."""
        return sorted({0.0, *(value for gate, _ in self.prunable_gates() for value in gate.tolist())})

    @property
    def _inner_channels(self) -> list[int]:
        """The inner channels of all blocks at full width."""
        return [channels for stage in self.full_layout.inner for channels in stage]

    def _with_inner_channels(self, block: int, channels: int) -> Layout:
        """Return the full layout with other inner channels of one block."""
        full = self.full_layout
        inner = self._inner_channels
        inner[block] = channels
        return full.with_channel_counts([full.stem, *full.widths, *inner])


def _open_channels(gate: Tensor, threshold: float) -> int:
    return max(MIN_CHANNELS, int((gate > threshold).sum()))


def _apply_gates(gate: Tensor, feature_map: Tensor) -> Tensor:
    return feature_map * gate.view(-1, 1, 1)
