"""Preflight: what a training will need and where it will fail, before it is begun."""
