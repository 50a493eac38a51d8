"""Losses that bring a student's answers to a teacher's, in one registry."""

from facekd.losses import embeddings as embeddings
from facekd.losses import hint as hint
from facekd.losses import logits as logits
from facekd.losses.registry import Loss as Loss
from facekd.losses.registry import create_loss as create_loss
from facekd.losses.registry import kind_of as kind_of
from facekd.losses.registry import names as names
from facekd.losses.registry import register as register
