"""Latency and memory of exported files, measured here or read from a phone's log."""
