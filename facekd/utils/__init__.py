"""Files, progress, environment and array helpers that every package uses."""
