"""How much memory a piece of training takes, without taking it: torch's fake tensors have shapes and no content."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from facekd.heads.base import Head
from facekd.models.registry import Network
from facekd.training.activation_checkpointing import recompute


class Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes of all tensors that are alive; those that share memory count once.

    Attributes:
        now: bytes alive.
        peak: the most there were.
    """

    now: int
    peak: int

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.peak = 0, 0
        self._known: weakref.WeakKeyDictionary[Any, None] = weakref.WeakKeyDictionary()

    def __torch_dispatch__(self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        """Run one operation, and note what it made."""
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor) and (storage := leaf.untyped_storage()) not in self._known:
                self._known[storage] = None
                self._add(storage.nbytes())
                weakref.finalize(storage, self._add, -storage.nbytes())
        return made

    def _add(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)


def network_peak(make: Callable[[], Network], batch: int, dtype: torch.dtype, checkpointing: bool = False,
                 trained: bool = True) -> int:
    """Bytes at the peak of a network's forward and backward pass beyond its weights: activations and their gradients.

    Args:
        make: makes the network.
        batch: images.
        dtype: of autocast; float32 means without.
        checkpointing: see `facekd.training.activation_checkpointing`.
        trained: False: a forward pass that keeps nothing, as a live teacher's.
    """
    with FakeTensorMode(), Live() as live:
        network = make()
        if checkpointing:
            recompute(network)
        network.train(trained)
        weights = live.now
        images = torch.empty(batch, 3, network.spec.size, network.spec.size)
        with torch.set_grad_enabled(trained), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            outputs = network(images)
        if trained:
            outputs.float().sum().backward()
        return int(live.peak - weights)


def head_peak(make: Callable[[], Head], batch: int, length: int) -> int:
    """Bytes at the peak of a head's loss and its gradient beyond its weights and their gradients: logits above all.

    Args:
        make: makes the head.
        batch: embeddings.
        length: of the network's outputs.
    """
    with FakeTensorMode(), Live() as live:
        head = make().train()
        weights = live.now
        outputs = torch.empty(batch, length, requires_grad=True)
        head.loss(outputs, torch.empty(batch, dtype=torch.int64)).backward()  # type: ignore[no-untyped-call]
        return max(0, int(live.peak - weights) - trainable_bytes(head))


def weight_bytes(module: nn.Module) -> int:
    """Bytes of weights and buffers."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def trainable_bytes(module: nn.Module) -> int:
    """Bytes of the weights that have a gradient."""
    return sum(weight.nbytes for weight in module.parameters() if weight.requires_grad)
