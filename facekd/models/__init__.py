"""Architectures in one registry, and the interface through which models are evaluated."""

from facekd.models import iresnet as iresnet
from facekd.models import mobilefacenet as mobilefacenet
from facekd.models import mobilenetv2 as mobilenetv2
