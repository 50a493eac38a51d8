from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facekd.errors import ModelError
from facekd.models.feature_extractor import FeatureExtractor
from facekd.models.graph.trace import graph_from_network
from facekd.models.output_layer import OutputLayer, with_outputs
from facekd.models.registry import ModelSpec, Network, build, create
from facekd.models.weights import load_model, save_model

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def base() -> Network:
    torch.manual_seed(0)
    return create("iresnet10", size=32, outputs=8, width=0.25).eval()


def test_the_output_is_the_matrix_times_the_embedding() -> None:
    network = with_outputs(base(), 24)
    assert isinstance(network, OutputLayer) and not network.training
    torch.testing.assert_close(network(IMAGES), base()(IMAGES) @ network.output.weight.T)


def test_a_network_of_the_length_stays_as_it_is() -> None:
    network = base()
    assert with_outputs(network, 8) is network


def test_another_output_layer_replaces_the_first() -> None:
    network = with_outputs(with_outputs(base(), 24), 16)
    assert (network.spec.outputs, network.spec.embedding) == (16, 8)
    assert with_outputs(network, 8).spec.outputs == 8


def test_a_file_is_sufficient_to_rebuild_it(tmp_path: Path) -> None:
    network = with_outputs(base(), 24)
    save_model(network, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.spec == network.spec
    assert ModelSpec.from_dict(network.spec.to_dict()) == network.spec
    torch.testing.assert_close(loaded(IMAGES), network(IMAGES), rtol=0, atol=0)


def test_a_description_without_the_layer_has_no_key_for_it() -> None:
    assert "embedding" not in base().spec.to_dict()


@pytest.mark.parametrize("embedding", [-1, 24, 1 << 30, True, "8", 1.5])
def test_a_wrong_length_is_refused(embedding: object) -> None:
    with pytest.raises(ModelError, match="embedding must be a whole number from 0"):
        ModelSpec.from_dict({"name": "iresnet10", "size": 32, "outputs": 24, "embedding": embedding})


def test_feature_maps_are_those_of_the_base() -> None:
    network = with_outputs(base(), 24)
    output = FeatureExtractor(network)(IMAGES)
    truth = FeatureExtractor(base())(IMAGES)
    assert [map_.shape for map_ in output.feature_maps] == [map_.shape for map_ in truth.feature_maps]
    torch.testing.assert_close(output.features, base()(IMAGES))


def test_it_can_be_pruned_as_a_graph() -> None:
    network = with_outputs(create("mobilefacenet", size=32, outputs=8, width=0.25).eval(), 24)
    torch.testing.assert_close(graph_from_network(network)(IMAGES), network(IMAGES))


def test_it_is_built_with_fresh_weights_on_any_device() -> None:
    with torch.device("meta"):
        network = build(with_outputs(base(), 24).spec)
    assert {weight.device.type for weight in network.parameters()} == {"meta"}
