"""Console, progress, signals, processes, environment and array helpers that every package uses."""
