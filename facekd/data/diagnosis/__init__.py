"""Diagnosis of image sets: unreadable images, duplicates, label gaps, train-test leakage."""
