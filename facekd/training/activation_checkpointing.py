"""Gradient checkpointing (Chen et al., Training Deep Nets with Sublinear Memory Cost, arXiv 1604.06174, 2016)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.utils.checkpoint import checkpoint


def recompute(network: nn.Module) -> None:
    """Keep only what enters a network's blocks for the backward pass, which computes their insides again.

    Gradients are the same, and so are the statistics of batch norms, which do not count a batch twice. The network's
    modules and the names of its weights stay as they are; it is not to be deep-copied afterwards, but for its weights.

    Args:
        network: one of the registry; one without ``stages`` is left alone.
    """
    for block in blocks(network):
        block.forward = _recomputed(block, block.forward)


def blocks(network: nn.Module) -> list[nn.Module]:
    """The residual blocks and their like, by a network's ``stages``.

    A stage may be named by its last block (``trunk.3``): then the trunk's parts are meant. It may be a sequence of
    blocks, whose parts these are, or a sequence of single layers: then it is one block.
    """
    found: dict[nn.Module, None] = {}
    for stage in getattr(network, "stages", ()):
        module, parent = network.get_submodule(stage), network.get_submodule(stage.rpartition(".")[0])
        sequence = parent if isinstance(parent, nn.Sequential) else module
        parts = list(sequence.children()) if isinstance(sequence, nn.Sequential) else []
        composed = [part for part in parts if any(True for _ in part.children())]
        found |= dict.fromkeys(composed or [module])
    return list(found)


def _recomputed(block: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_at_rest(block)

    def computed(*inputs: torch.Tensor) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs)
        if torch.compiler.is_compiling():  # what is compiled is without side effects, and statistics leave it once
            return checkpoint(forward, *inputs, use_reentrant=False)
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts)

    return computed


@contextmanager
def _statistics_at_rest(block: nn.Module) -> Iterator[None]:
    """Batch norms in training go on to use their batch's statistics, but do not add them to those they keep."""
    norms = [module for module in block.modules() if isinstance(module, BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
