"""Feature files: embeddings computed elsewhere."""
