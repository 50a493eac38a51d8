"""Protocols: scores or features in, a result object with intervals out."""
