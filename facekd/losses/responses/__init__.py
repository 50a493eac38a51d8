"""Losses of the networks' outputs: logits, or embeddings compared value by value."""

from facekd.losses.responses import ctkd as ctkd
from facekd.losses.responses import dist as dist
from facekd.losses.responses import dkd as dkd
from facekd.losses.responses import embeddings as embeddings
from facekd.losses.responses import kd as kd
from facekd.losses.responses import kd_std as kd_std
from facekd.losses.responses import mlld as mlld
from facekd.losses.responses import nkd as nkd
