"""Measure the peak memory of a forward and backward pass without allocating it, with torch's fake tensors."""

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
from facekd.training.activation_checkpointing import apply_activation_checkpointing


class LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that are alive; tensors that share a storage count once.

    Attributes:
        current: the bytes that are alive.
        peak: the maximum of ``current`` so far.
    """

    current: int
    peak: int

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.current = 0
        self.peak = 0
        self._storages: weakref.WeakKeyDictionary[Any, None] = weakref.WeakKeyDictionary()

    def __torch_dispatch__(self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        """Run one operation and count the storages that it creates."""
        outputs = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(outputs):
            if not isinstance(leaf, Tensor):
                continue
            storage = leaf.untyped_storage()
            if storage not in self._storages:
                self._storages[storage] = None
                self._add(storage.nbytes())
                weakref.finalize(storage, self._add, -storage.nbytes())
        return outputs

    def _add(self, size: int) -> None:
        self.current += size
        self.peak = max(self.peak, self.current)


def network_peak(build: Callable[[], Network], batch_size: int, dtype: torch.dtype,
                 activation_checkpointing: bool = False, trained: bool = True) -> int:
    """Return the peak bytes of a network's forward and backward pass beyond its weights: activations and gradients.

    Args:
        build: builds the network.
        batch_size: the number of images.
        dtype: the dtype of autocast; float32 for no autocast.
        activation_checkpointing: see `facekd.training.activation_checkpointing`.
        trained: False for a forward pass without gradients, such as that of a live teacher.
    """
    with FakeTensorMode(), LiveMemory() as memory:
        network = build()
        if activation_checkpointing:
            apply_activation_checkpointing(network)
        network.train(trained)
        weights = memory.current
        images = torch.empty(batch_size, 3, network.spec.size, network.spec.size)
        with torch.set_grad_enabled(trained), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            outputs = network(images)
        if trained:
            outputs.float().sum().backward()
        return int(memory.peak - weights)


def head_peak(build: Callable[[], Head], batch_size: int, dimension: int) -> int:
    """Return the peak bytes of a head's loss and its gradient beyond its weights and their gradients.

    Most of it is logits.

    Args:
        build: builds the head.
        batch_size: the number of embeddings.
        dimension: the length of an embedding.
    """
    with FakeTensorMode(), LiveMemory() as memory:
        head = build().train()
        weights = memory.current
        outputs = torch.empty(batch_size, dimension, requires_grad=True)
        labels = torch.empty(batch_size, dtype=torch.int64)
        head.loss(outputs, labels).backward()  # type: ignore[no-untyped-call]
        return max(0, int(memory.peak - weights) - trainable_bytes(head))


def weight_bytes(module: nn.Module) -> int:
    """Return the bytes of all parameters and buffers."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def trainable_bytes(module: nn.Module) -> int:
    """Return the bytes of the parameters that have a gradient."""
    return sum(weight.nbytes for weight in module.parameters() if weight.requires_grad)
