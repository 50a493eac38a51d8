"""int8 files: the faces that set their ranges, networks that lose less by rounding, and training for it."""
