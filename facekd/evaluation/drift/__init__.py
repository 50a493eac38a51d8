"""Whether a threshold still means its false accept rate on new images."""
