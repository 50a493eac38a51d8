"""Intervals, false accept rates and paired differences."""
