"""The registry of architectures, their weights, and the interface through which models are evaluated."""

from facekd.models import architectures as architectures
