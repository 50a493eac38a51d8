"""Embeddings of image sets, computed in batches: in memory, or resumable in a file."""
