"""Bootstrap intervals, false accept rates, and paired differences of two models."""
