"""Verification pairs, and the file formats in which they are published."""
