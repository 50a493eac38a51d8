"""Losses that bring a student's answers to a teacher's, in one registry."""

from facekd.losses import at as at
from facekd.losses import cc as cc
from facekd.losses import dist as dist
from facekd.losses import dkd as dkd
from facekd.losses import embeddings as embeddings
from facekd.losses import hint as hint
from facekd.losses import kd_std as kd_std
from facekd.losses import logits as logits
from facekd.losses import nkd as nkd
from facekd.losses import nst as nst
from facekd.losses import pkt as pkt
from facekd.losses import rkd as rkd
from facekd.losses import sp as sp
from facekd.losses import vid as vid
from facekd.losses.registry import Loss as Loss
from facekd.losses.registry import create_loss as create_loss
from facekd.losses.registry import kind_of as kind_of
from facekd.losses.registry import names as names
from facekd.losses.registry import register as register
