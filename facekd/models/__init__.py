"""Architectures, their registry and weights, and the interface through which models are evaluated."""

from facekd.models import architectures as architectures
