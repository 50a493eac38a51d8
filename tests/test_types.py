"""The types that networks and losses exchange."""

from __future__ import annotations

import torch

from facekd.types import ModelOutput


def test_features_of_a_classifier_are_the_input_of_its_last_layer() -> None:
    logits, pre_logits = torch.zeros(2, 10), torch.ones(2, 64)
    assert ModelOutput(logits, (), pre_logits).features is pre_logits


def test_features_of_a_face_network_are_its_embedding() -> None:
    embedding = torch.zeros(2, 128)
    assert ModelOutput(embedding).features is embedding
    assert ModelOutput(embedding).feature_maps == ()
