"""Distillation losses between a student's and a teacher's outputs, in one registry; each family has a folder."""

from facekd.losses import faces as faces
from facekd.losses import maps as maps
from facekd.losses import relations as relations
from facekd.losses import responses as responses
from facekd.losses.registry import Loss as Loss
from facekd.losses.registry import create_loss as create_loss
from facekd.losses.registry import get_loss_class as get_loss_class
from facekd.losses.registry import list_losses as list_losses
from facekd.losses.registry import register_loss as register_loss
from facekd.losses.registry import registered as registered
