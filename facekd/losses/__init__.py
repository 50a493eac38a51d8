"""Losses that bring a student's answers to a teacher's, in one registry; a family is a folder."""

from facekd.losses import faces as faces
from facekd.losses import maps as maps
from facekd.losses import relations as relations
from facekd.losses import responses as responses
from facekd.losses.registry import Loss as Loss
from facekd.losses.registry import create_loss as create_loss
from facekd.losses.registry import family_of as family_of
from facekd.losses.registry import kind_of as kind_of
from facekd.losses.registry import names as names
from facekd.losses.registry import register as register
