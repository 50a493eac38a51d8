"""Synthetic faces, drawn from seeds: the data of the demo and of the tests."""
