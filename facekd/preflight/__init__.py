"""Preflight: estimates of what a training run needs, and checks of where it would fail, before it starts."""
