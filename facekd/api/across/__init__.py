"""Evaluations of a new model against the gallery of an old one; one module per protocol."""
