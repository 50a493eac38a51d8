"""Latency and memory of exported files, measured on this machine or read from the log of a phone."""
