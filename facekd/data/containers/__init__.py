"""Readers and writers of image containers. No data that is read from disk can execute code."""
