"""Search for a smaller student inside a trained network: gates, the training method and layouts within a budget."""
