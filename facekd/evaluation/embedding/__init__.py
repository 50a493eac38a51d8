"""Embeddings of image sets, computed in batches and resumable."""
