"""Losses of face recognition: embeddings of identities, class centers and margins."""

from facekd.losses.faces import adadistill as adadistill
from facekd.losses.faces import coupleface as coupleface
from facekd.losses.faces import ekd as ekd
from facekd.losses.faces import margin_distillation as margin_distillation
from facekd.losses.faces import proxyless as proxyless
from facekd.losses.faces import shrinkteanet as shrinkteanet
from facekd.losses.faces import triplet_distillation as triplet_distillation
