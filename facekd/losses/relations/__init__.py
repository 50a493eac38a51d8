"""Losses of relations among the images of a batch."""

from facekd.losses.relations import cc as cc
from facekd.losses.relations import crd as crd
from facekd.losses.relations import pkt as pkt
from facekd.losses.relations import rkd as rkd
from facekd.losses.relations import sp as sp
