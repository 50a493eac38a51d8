"""The parsers of the fuzzing room by area."""
