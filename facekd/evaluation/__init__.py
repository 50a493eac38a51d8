"""Evaluation protocols: they take scores, features or a model, and return a result object with intervals."""
