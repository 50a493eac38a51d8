"""Losses of relations: how the images of a batch lie to each other."""

from facekd.losses.relations import cc as cc
from facekd.losses.relations import crd as crd
from facekd.losses.relations import pkt as pkt
from facekd.losses.relations import rkd as rkd
from facekd.losses.relations import sp as sp
