"""Activation checkpointing (Chen et al., Training Deep Nets with Sublinear Memory Cost, arXiv 1604.06174, 2016)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.utils.checkpoint import checkpoint


def apply_activation_checkpointing(network: nn.Module) -> None:
    """Store only the inputs of a network's blocks for the backward pass, which recomputes their activations.

    Gradients are unchanged, and so are the statistics of batch norms, which do not count a batch twice. The modules of
    the network and the names of its weights stay as they are. The network must not be deep-copied afterwards: a copy's
    blocks would call the forward functions of the original.

    Args:
        network: a network of the registry; one without ``stages`` is not changed.
    """
    for block in residual_blocks(network):
        block.forward = _checkpointed(block, block.forward)


def residual_blocks(network: nn.Module) -> list[nn.Module]:
    """Return the residual blocks, or similar units, of a network according to its ``stages``.

    A stage may be named by its last block (``trunk.3``): then it is a part of the sequence ``trunk``, whose parts are
    the blocks. It may be a sequence of blocks, or a sequence of single layers, which is one block.
    """
    blocks: dict[nn.Module, None] = {}
    for stage in getattr(network, "stages", ()):
        module = network.get_submodule(stage)
        parent = network.get_submodule(stage.rpartition(".")[0])
        sequence = parent if isinstance(parent, nn.Sequential) else module
        children = list(sequence.children()) if isinstance(sequence, nn.Sequential) else []
        composed = [child for child in children if any(True for _ in child.children())]
        blocks |= dict.fromkeys(composed or [module])
    return list(blocks)


def _checkpointed(block: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Return the contexts of the forward pass and of its recomputation."""
        return nullcontext(), _FrozenRunningStatistics(block)

    def checkpointed_forward(*inputs: torch.Tensor) -> Any:
        """Compute the block, and store its inputs only."""
        if not torch.is_grad_enabled():
            return forward(*inputs)
        # A compiled block has no side effects in its recomputation: its statistics are updated once by themselves.
        if torch.compiler.is_compiling():
            return checkpoint(forward, *inputs, use_reentrant=False)
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts)

    return checkpointed_forward


class _FrozenRunningStatistics(AbstractContextManager[None]):
    """Lets batch norms in training normalize by the batch's statistics without updating the running ones.

    The context can be entered several times, one after the other: each backward pass through a retained graph repeats
    the recomputation.
    """

    def __init__(self, block: nn.Module) -> None:
        self._norms = [module for module in block.modules() if isinstance(module, BatchNorm)]

    def __enter__(self) -> None:
        self._settings = [(norm.momentum, norm.num_batches_tracked) for norm in self._norms]
        for norm in self._norms:
            norm.momentum = 0.0
            norm.num_batches_tracked = None

    def __exit__(self, *error: object) -> None:
        for norm, (momentum, batches) in zip(self._norms, self._settings, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked = batches
