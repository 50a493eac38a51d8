"""Feature files: embeddings that facekd or another program computed."""
