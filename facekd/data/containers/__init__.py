"""Readers and writers of image containers; nothing read from disk can run code."""
