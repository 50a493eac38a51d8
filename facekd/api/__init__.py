"""The Python API: one module per command, with a function of the same name."""
