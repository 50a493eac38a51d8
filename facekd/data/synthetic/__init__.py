"""Synthetic faces, drawn from a seed: the data of the demo and of the tests."""
