"""Verification pairs and the formats they are published in."""
