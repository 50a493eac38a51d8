from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from facekd.heads import HEADS, create_head
from facekd.models.registry import Network, create
from facekd.preflight.peak_memory import LiveMemory, head_peak, network_peak, trainable_bytes, weight_bytes


def builder(name: str, size: int = 32, outputs: int = 16) -> Callable[[], Network]:
    return lambda: create(name, size=size, outputs=outputs)


def saved_bytes(network: Network, batch: int) -> int:
    """Return the bytes that a real forward pass saves for its backward pass, without the weights."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}
    saved: dict[int, torch.Tensor] = {}

    def save(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    images = torch.rand(batch, 3, network.spec.size, network.spec.size)
    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        outputs = network(images)
    assert outputs.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


@pytest.mark.parametrize("name", ["iresnet10", "mobilefacenet", "mobilenetv2"])
def test_activations_are_those_a_real_forward_pass_saves_and_little_more(name: str) -> None:
    network = create(name, size=32, outputs=64)
    real = saved_bytes(network, 16)
    estimate = network_peak(builder(name, outputs=64), 16, torch.float32)
    # The rest are gradients that are alive together with all saved tensors: at most those of the weights.
    assert real <= estimate <= 1.1 * real + trainable_bytes(network)


@pytest.mark.parametrize("name", ["shufflenetv1", "shufflenetv2", "vgg8", "wrn_16_2", "resnet50_cifar"])
def test_other_families_can_be_estimated(name: str) -> None:
    assert network_peak(builder(name), 4, torch.float32) > 4 * 3 * 32 * 32 * 4


def test_each_way_to_save_memory_saves_some() -> None:
    plain = network_peak(builder("iresnet18"), 64, torch.float32)
    assert network_peak(builder("iresnet18"), 32, torch.float32) < 0.7 * plain
    assert network_peak(builder("iresnet18"), 64, torch.bfloat16) < 0.8 * plain
    assert network_peak(builder("iresnet18"), 64, torch.float32, activation_checkpointing=True) < 0.9 * plain
    assert network_peak(builder("iresnet18"), 64, torch.float32, trained=False) < 0.3 * plain


@pytest.mark.parametrize("name", sorted(HEADS))
def test_every_head_needs_a_few_times_its_logits_and_one_copy_of_its_centers(name: str) -> None:
    batch_size = 64
    classes = 5000
    dimension = 32
    logits = 4 * batch_size * classes
    centers = 4 * classes * dimension
    peak = head_peak(lambda: create_head(name, dimension, classes), batch_size, dimension)
    assert 2 * logits < peak < 12 * logits + 4 * centers


def test_an_estimate_leaves_nothing_behind() -> None:
    """A global cache that stores tensors without content would break the training that follows."""
    network_peak(builder("mobilenetv2"), 4, torch.float32)
    network = create("mobilenetv2", size=32, outputs=16)
    images = network.preprocess(torch.zeros(4, 32, 32, 3, dtype=torch.uint8))
    assert torch.isfinite(network(images)).all() and type(images) is torch.Tensor


def test_memory_that_tensors_share_counts_once_and_freed_memory_no_longer() -> None:
    with LiveMemory() as memory:
        first = torch.zeros(1000)
        view = first[:10]
        assert memory.current == 4000
        second = first + 1
        assert memory.current == 8000
        del first, second
        assert (memory.current, memory.peak) == (4000, 8000)  # the view keeps the first alive
        del view
        assert memory.current == 0


def test_weights_and_buffers_are_counted_in_bytes() -> None:
    norm = torch.nn.BatchNorm2d(8)
    assert (weight_bytes(norm), trainable_bytes(norm)) == (4 * 32 + 8, 4 * 16)
